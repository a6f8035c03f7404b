"""The tasks: a signature, a program, data and a quality each, found by name."""

from anytime_dspy.programs.registry import get_task, task_names

__all__ = ["get_task", "task_names"]
