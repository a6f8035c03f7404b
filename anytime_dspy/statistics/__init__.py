"""Statistics of results: summaries with intervals, paired tests, and what early stopping saves."""
