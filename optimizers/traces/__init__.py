"""Traces: a program run on its own training examples, in several styles, kept in a file, and squeezed."""
