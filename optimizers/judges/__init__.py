"""Judges of traces: what a program's own LM, its metric or its votes say, and how far that can be trusted."""
