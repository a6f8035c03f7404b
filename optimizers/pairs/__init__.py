"""Preference pairs: building, selecting and exporting them."""
