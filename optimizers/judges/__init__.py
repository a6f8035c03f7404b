"""Judges score traces by votes, by the program's own LM or by its metric, and measure how reliable they are."""
