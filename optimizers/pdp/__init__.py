"""PDP: the optimiser, one compile, its rounds, and its report."""
