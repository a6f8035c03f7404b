"""Telling samples of one program apart."""

from __future__ import annotations

import random
from typing import TypeVar

import dspy

from anytime_dspy.calls.acceptance import acceptance

__all__ = ["sampler", "seed_of"]

Program = TypeVar("Program", bound=dspy.Module)


def seed_of(*parts: int) -> int:
    """Returns a seed that is another one for each sequence of numbers.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
        (True, False)
    """
    return random.Random("/".join(map(str, parts))).randrange(2**31)


def sampler(program: Program, temperature: float, seed: int) -> Program:
    """Returns a copy of a program whose predictors are all called with this temperature, and a rollout id of their own.

    So DSPy's cache keeps samples with different seeds apart. Engines that say so by `supported_params`, as the embedded
    one does, are also given the seed; providers are not, since several refuse it.
    """
    for predictor in program.predictors():
        if predictor.lm is not None:
            acceptance(predictor.lm)  # from now on copies of the LM share what is learned of it
    copy: Program = program.deepcopy()
    for predictor in copy.predictors():
        engine = getattr(predictor.lm or dspy.settings.lm, "engine", None)
        takes_seed = "seed" in getattr(engine, "supported_params", ())
        # In the predictor's own configuration these win over whatever its LM was made with.
        predictor.config = {
            **predictor.config,
            "temperature": temperature,
            "rollout_id": seed,
            **({"seed": seed} if takes_seed else {}),
        }
    return copy
