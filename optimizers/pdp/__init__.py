"""PDP: the optimizer, one compile, its rounds, and its report."""
