"""Grade-school arithmetic word problems: generated ones, and GSM8K's."""

from anytime_dspy.programs.word_problems.problems import answer_key, load, quality, task

__all__ = ["answer_key", "load", "quality", "task"]
