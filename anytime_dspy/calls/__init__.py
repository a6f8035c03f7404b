"""One predictor call: its prompt format, its LM requests, its completion, and the forced answer."""
