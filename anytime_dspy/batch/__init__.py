"""Sweeps by a provider's batch API: the same results as a live sweep, at half the price, within a day."""

from anytime_dspy.batch.jobs import BatchJob
from anytime_dspy.batch.stages import sweep_batch

__all__ = ["BatchJob", "sweep_batch"]
