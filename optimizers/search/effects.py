"""What candidates gain over the student, as far as their scores can tell: a linear model with the items' noise.

A candidate's gain is the sum of the effects of what it shows (its demonstrations, that it shows any, its instructions,
its contrast) and of something of its own. Effects and noise are normal, so the posterior is one solve, as in ridge
regression and in Gaussian processes (Rasmussen and Williams 2006, eq. 2.25 and 2.26). Beside it stands the hypothesis
that nothing helps: how much likelier the scores are without any effect (ibid., eq. 2.30) says how far to believe it.
So a candidate with a lucky draw
is drawn back to what its parts did elsewhere, demonstrations that were never shown together can be composed, and the
best of many is not overrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = ["OWN", "Gain", "Measured", "gains", "item_sd"]

OWN = 0.06
"""The prior standard deviation of what a candidate gains by itself, beside the effects of its parts."""

NOTHING = 0.1
"""The prior probability that no candidate differs from the student."""

SPREAD = 0.45
"""The standard deviation of an item's paired gain that is assumed before items have shown their own."""

ITEMS = 8
"""How many items that assumption counts for."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A candidate with the items that it has run.

    Attributes:
        features: The prior standard deviation of each effect that it has, by the effect's name.
        gains: By item: the candidate's score less the student's.
    """

    features: Mapping[str, float]
    gains: Mapping[int, float]


@dataclass(frozen=True)
class Gain:
    """What is believed of a candidate's gain.

    Attributes:
        mean: The expected gain over the student, on the metric's scale.
        sd: Its standard deviation.
        chance: The probability that it is above zero.
    """

    mean: float
    sd: float
    chance: float

    @property
    def interval(self) -> tuple[float, float]:
        """Within which the gain lies with a probability of 95%."""
        return self.mean - 1.96 * self.sd, self.mean + 1.96 * self.sd


def gains(measured: Sequence[Measured], asked: Sequence[Mapping[str, float]] = ()) -> list[Gain]:
    """Returns what is believed of each candidate that was measured, then of each that was only asked about.

    Args:
        measured: Candidates, the student left out; one without items counts as asked about.
        asked: The features of candidates that were not run.

    Example:
        >>> good, bad = gains([Measured({"x": 0.1}, dict.fromkeys(range(40), 0.3)), Measured({"y": 0.1}, {0: -0.1})])
        >>> good.mean > 0.2, abs(bad.mean) < 0.1
        (True, True)
    """
    known = [one for one in measured if one.gains]
    features = [*(one.features for one in measured), *asked]
    if not features:  # a later round may have found nothing to race against its student
        return []
    kernel = np.array([[_covariance(one, other) for other in features] for one in features])
    kernel += np.diag([OWN**2] * len(features))
    if not known:
        return [_believed(0.0, float(variance), NOTHING) for variance in np.diag(kernel)]
    places = [place for place, one in enumerate(measured) if one.gains]
    seen = np.array([np.mean(list(one.gains.values())) for one in known])
    across = kernel[:, places]
    noise = _noise(known)
    total = kernel[np.ix_(places, places)] + noise
    solved = np.linalg.solve(total, np.column_stack([seen, across.T]))
    means = across @ solved[:, 0]
    variances = np.diag(kernel - across @ solved[:, 1:])
    odds = NOTHING / (1 - NOTHING) * math.exp(min(700.0, _likelihood(seen, noise) - _likelihood(seen, total)))
    return [
        _believed(float(mean), max(float(variance), 0.0), odds / (1 + odds))
        for mean, variance in zip(means, variances, strict=True)
    ]


def _believed(mean: float, variance: float, nothing: float) -> Gain:
    """A normal gain, and none with the probability `nothing`."""
    above = float(norm.cdf(mean / math.sqrt(variance))) if variance > 0 else float(mean > 0)
    some = 1 - nothing
    return Gain(some * mean, math.sqrt(max(some * (variance + mean**2) - (some * mean) ** 2, 0.0)), some * above)


def _likelihood(seen: Array, covariance: Array) -> float:
    """The logarithm of the density of what was seen, but for a constant."""
    return float(-0.5 * (seen @ np.linalg.solve(covariance, seen) + np.linalg.slogdet(covariance)[1]))


def item_sd(measured: Sequence[Measured]) -> float:
    """Returns the standard deviation of an item's paired gain, pooled over candidates, with the prior's items."""
    deviations = [
        gain - sum(one.gains.values()) / len(one.gains) for one in measured if one.gains for gain in one.gains.values()
    ]
    degrees = max(0, len(deviations) - sum(bool(one.gains) for one in measured))
    return math.sqrt((ITEMS * SPREAD**2 + sum(value**2 for value in deviations)) / (ITEMS + degrees))


def _covariance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(sd * other[name] for name, sd in one.items() if name in other)


def _noise(measured: Sequence[Measured]) -> Array:
    """The covariance of the candidates' mean gains: all are over the same student, on items that they share."""
    variance = item_sd(measured) ** 2
    shared = 0.5 * variance  # of the variance of a difference, half is the student's
    noise = np.zeros((len(measured), len(measured)))
    for i, one in enumerate(measured):
        for j, other in enumerate(measured):
            common = len(one.gains.keys() & other.gains.keys())
            noise[i, j] = (variance if i == j else shared) * common / (len(one.gains) * len(other.gains))
    return noise
