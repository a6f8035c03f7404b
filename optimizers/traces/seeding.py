"""Seeds that keep samples of one program apart."""

from __future__ import annotations

import random
from typing import TypeVar

import dspy

from anytime_dspy.calls.acceptance import acceptance
from anytime_dspy.runtime.predictors import lm_of

__all__ = ["seed_of", "with_sampling"]

Program = TypeVar("Program", bound=dspy.Module)


def seed_of(*parts: int) -> int:
    """Returns a seed derived from a sequence of numbers.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
        (True, False)
    """
    return random.Random("/".join(map(str, parts))).randrange(2**31)


def with_sampling(program: Program, temperature: float, seed: int) -> Program:
    """Returns a copy of a program whose predictors use a temperature, and the seed as their rollout id.

    The rollout id makes DSPy's cache keep samples with different seeds apart. The seed itself is sent only to engines
    that list it in `supported_params`, as the embedded one does, because several providers reject it.
    """
    for predictor in program.predictors():
        if predictor.lm is not None:
            acceptance(predictor.lm)  # before copying, so that copies share what is learned about the LM
    copy: Program = program.deepcopy()
    for predictor in copy.predictors():
        engine = getattr(lm_of(predictor), "engine", None)
        takes_seed = "seed" in getattr(engine, "supported_params", ())
        # The predictor's configuration takes precedence over its LM's.
        predictor.config = {
            **predictor.config,
            "temperature": temperature,
            "rollout_id": seed,
            **({"seed": seed} if takes_seed else {}),
        }
    return copy
