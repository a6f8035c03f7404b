"""Shrunk estimates of the candidates' gains over the student: a Bayesian linear model of paired scores.

A candidate's gain is the sum of the effects of its parts (each demonstration, showing any, instructions, contrast) and
an effect of its own. Effects and noise are normal, so the posterior is one linear solve, as in ridge regression and
Gaussian processes (Rasmussen and Williams 2006, eq. 2.25 and 2.26). It is mixed with the hypothesis that no candidate
differs from the student, weighted by marginal likelihood (ibid., eq. 2.30). So a lucky candidate is shrunk towards what
its parts did elsewhere, the best of many is not overrated, and the gain of a set that never ran can be predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

__all__ = ["Gain", "Measured", "gains", "item_sd"]

OWN_SD = 0.06
"""The prior standard deviation of a candidate's own effect, beside those of its parts."""

NULL_PRIOR = 0.1
"""The prior probability that no candidate differs from the student."""

ITEM_SD = 0.45
"""The prior guess of the standard deviation of an item's paired gain."""

ITEM_SD_WEIGHT = 8
"""The number of items that this guess counts as."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A candidate's paired scores.

    Attributes:
        features: The prior standard deviation of each of its effects, by name.
        gains: The candidate's score minus the student's, by item.
    """

    features: Mapping[str, float]
    gains: Mapping[int, float]


@dataclass(frozen=True)
class Gain:
    """The posterior of a candidate's gain.

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
        """The 95% credible interval of the gain."""
        return self.mean - 1.96 * self.sd, self.mean + 1.96 * self.sd


def gains(measured: Sequence[Measured], unmeasured: Sequence[Mapping[str, float]] = ()) -> list[Gain]:
    """Returns the gain of each measured candidate, then of each unmeasured one.

    Args:
        measured: The candidates without the student; one without items is only predicted.
        unmeasured: The features of candidates that have not run, whose gains are predicted.

    Example:
        >>> good, bad = gains([Measured({"x": 0.1}, dict.fromkeys(range(40), 0.3)), Measured({"y": 0.1}, {0: -0.1})])
        >>> good.mean > 0.2, abs(bad.mean) < 0.1
        (True, True)
    """
    known = [one for one in measured if one.gains]
    features = [*(one.features for one in measured), *unmeasured]
    if not features:  # a later round may have found nothing to race against its student
        return []
    kernel = np.array([[_covariance(one, other) for other in features] for one in features])
    kernel += np.diag([OWN_SD**2] * len(features))
    if not known:
        return [_mixed(0.0, float(variance), NULL_PRIOR) for variance in np.diag(kernel)]
    places = [place for place, one in enumerate(measured) if one.gains]
    seen = np.array([np.mean(list(one.gains.values())) for one in known])
    across = kernel[:, places]
    noise = _noise(known)
    total = kernel[np.ix_(places, places)] + noise
    solved = np.linalg.solve(total, np.column_stack([seen, across.T]))
    means = across @ solved[:, 0]
    variances = np.diag(kernel - across @ solved[:, 1:])
    odds = NULL_PRIOR / (1 - NULL_PRIOR) * math.exp(min(700.0, _likelihood(seen, noise) - _likelihood(seen, total)))
    return [
        _mixed(float(mean), max(float(variance), 0.0), odds / (1 + odds))
        for mean, variance in zip(means, variances, strict=True)
    ]


def _mixed(mean: float, variance: float, null: float) -> Gain:
    """The mixture of a normal gain and, with probability `null`, a gain of 0."""
    above = float(norm.cdf(mean / math.sqrt(variance))) if variance > 0 else float(mean > 0)
    some = 1 - null
    return Gain(some * mean, math.sqrt(max(some * (variance + mean**2) - (some * mean) ** 2, 0.0)), some * above)


def _likelihood(seen: Array, covariance: Array) -> float:
    """The log density of the observed mean gains, up to a constant."""
    return float(-0.5 * (seen @ np.linalg.solve(covariance, seen) + np.linalg.slogdet(covariance)[1]))


def item_sd(measured: Sequence[Measured]) -> float:
    """Returns the standard deviation of an item's paired gain, pooled over the candidates and the prior guess."""
    deviations = [
        gain - sum(one.gains.values()) / len(one.gains) for one in measured if one.gains for gain in one.gains.values()
    ]
    degrees = max(0, len(deviations) - sum(bool(one.gains) for one in measured))
    return math.sqrt((ITEM_SD_WEIGHT * ITEM_SD**2 + sum(value**2 for value in deviations)) / (ITEM_SD_WEIGHT + degrees))


def _covariance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(sd * other[name] for name, sd in one.items() if name in other)


def _noise(measured: Sequence[Measured]) -> Array:
    """The covariance of the candidates' mean gains, which share the student's scores on common items."""
    variance = item_sd(measured) ** 2
    shared = 0.5 * variance  # half of the variance of a difference is the student's
    noise = np.zeros((len(measured), len(measured)))
    for i, one in enumerate(measured):
        for j, other in enumerate(measured):
            common = len(one.gains.keys() & other.gains.keys())
            noise[i, j] = (variance if i == j else shared) * common / (len(one.gains) * len(other.gains))
    return noise
