"""How a budget is enforced while a program runs: the context, the adapter, the tracker, and the tape."""
