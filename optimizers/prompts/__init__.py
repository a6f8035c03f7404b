"""Prompts of a compiled program: demonstrations, instructions, and the short texts that the LM writes for them."""
