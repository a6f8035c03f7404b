"""How a budget is kept while a program runs: the context, the adapter, the account, and the tape that is replayed."""
