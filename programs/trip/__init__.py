"""NaturalPlan Trip: plan a tour of European cities under stays, events and direct flights."""

from anytime_dspy.programs.trip.planning import answer_key, constraint_rate, exact_match, load, quality, task

__all__ = ["answer_key", "constraint_rate", "exact_match", "load", "quality", "task"]
