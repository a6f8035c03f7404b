"""How the compilers are set, where that is not by their own defaults."""

from __future__ import annotations

from experiments.toml_file import Strict

__all__ = ["Settings"]


class Settings(Strict):
    """The `[settings]` of a plan.

    Attributes:
        reply_tokens: That any reply may take where its compiler names no cap. A small model may ramble to the end of
            its context, which would use up the tokens of whoever asked.
        demos: Demonstrations, for every compiler that takes a number of them.
        simba_steps: By default SIMBA makes 8 steps of 6 candidates on mini-batches of 32: 3,000 runs of the program
            before it measures any on all examples. Here it makes 440 runs in all, so that it can come to its end.
        simba_candidates: Of each step.
        simba_batch: Examples of a mini-batch.
        race: `trials` of a raced PDP.
        shares: Of the limit, in which a raced PDP is told to stop, one after the other until all of it, the trials that
            it is at included, ends within the limit.
    """

    reply_tokens: int = 1024
    demos: int = 4
    simba_steps: int = 3
    simba_candidates: int = 4
    simba_batch: int = 8
    race: int = 8
    shares: tuple[float, ...] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
