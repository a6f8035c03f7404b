"""The errors that a user can cause, each with a way out in its message."""


class AnytimeError(Exception):
    """Base of every error that this library raises on purpose.

    The message is one line that says what is wrong and what to do about it; the command line shows it as it is and
    exits with code 2.
    """


class BudgetError(AnytimeError):
    """A budget, a grid of budgets or an answer allowance that cannot be used."""


class ProgramError(AnytimeError):
    """A program that cannot be run under a budget, or a saved one that cannot be loaded."""


class DataError(AnytimeError):
    """A data set, a task or an example that cannot be read."""


class ModelError(AnytimeError):
    """A language model that cannot be found, fetched, loaded or capped."""


class RunError(AnytimeError):
    """A run folder that cannot be written, continued or read."""


class ClusterError(AnytimeError):
    """A cluster that cannot be reached, or that cannot run what it is sent."""
