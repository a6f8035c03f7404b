"""Prompts of a compiled program: demonstrations, instructions, and short texts that the LM writes for them."""
