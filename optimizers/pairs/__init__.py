"""Preference pairs: how they are made, chosen for a prompt, and exported for training."""
