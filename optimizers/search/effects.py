"""Estimates what candidates gain over the student: a linear model of their scores, with the noise of the items.

A candidate's gain is the sum of the effects of what it shows (that it shows demonstrations at all, each of them, its
instructions, its contrast) and of something of its own. Effects and noise are normal, so the posterior is one solve, as
in ridge regression and in Gaussian processes (Rasmussen and Williams 2006, eq. 2.25 and 2.26). Three hypotheses are
averaged, each weighted by how likely it makes the scores (ibid., eq. 2.30): candidates differ as much as the prior
says; they differ little, and what helps is showing demonstrations at all; nothing helps. So a candidate with a lucky
draw is drawn back to what its parts did elsewhere, demonstrations that were never shown together can be composed, and
the best of many is not overrated.
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

SPREADS = (1.0, 0.3)
"""Two hypotheses, equally likely before: factors on the prior standard deviations of all effects but those of showing
demonstrations at all. Without the second one, candidates that all gain about as much look less likely than chance: in
simulations with 64 examples, planted gains of that kind were found 60 times of 100, and with it 92 times; without any
gain the student came back 148 times of 160."""

SHOWING_EFFECTS = frozenset({"squeezed", "whole"})
"""The names of the effects of showing demonstrations at all."""

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
    showing = _covariances([_showing(one) for one in features])
    others = _covariances(features) - showing + np.diag([OWN**2] * len(features))
    kernels = [showing + spread**2 * others for spread in SPREADS]
    places = [place for place, one in enumerate(measured) if one.gains]
    seen = np.array([np.mean(list(one.gains.values())) for one in known])
    noise = _noise(known)
    prior = (1 - NOTHING) / len(SPREADS)
    likelihoods = [_likelihood(seen, noise) + math.log(NOTHING)] + [
        _likelihood(seen, kernel[np.ix_(places, places)] + noise) + math.log(prior) for kernel in kernels
    ]
    weights = np.exp(np.array(likelihoods) - max(likelihoods))
    weights /= weights.sum()
    means, variances = zip(*(_posterior(kernel, places, seen, noise) for kernel in kernels), strict=True)
    return [_averaged(*one, weights[1:]) for one in zip(np.transpose(means), np.transpose(variances), strict=True)]


def _posterior(kernel: Array, places: Sequence[int], seen: Array, noise: Array) -> tuple[Array, Array]:
    """The means and variances of all gains under one hypothesis."""
    across = kernel[:, places]
    solved = np.linalg.solve(kernel[np.ix_(places, places)] + noise, np.column_stack([seen, across.T]))
    return across @ solved[:, 0], np.maximum(np.diag(kernel - across @ solved[:, 1:]), 0.0)


def _averaged(means: Array, variances: Array, weights: Array) -> Gain:
    """One gain over the hypotheses of `SPREADS`; what their weights lack of 1 is the probability of no gain at all."""
    mean = float(weights @ means)
    variance = float(weights @ (variances + means**2)) - mean**2
    above = [
        float(norm.cdf(one / math.sqrt(around))) if around > 0 else float(one > 0)
        for one, around in zip(means, variances, strict=True)
    ]
    return Gain(mean, math.sqrt(max(variance, 0.0)), float(weights @ above))


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


def _showing(features: Mapping[str, float]) -> dict[str, float]:
    return {name: sd for name, sd in features.items() if name in SHOWING_EFFECTS}


def _covariances(features: Sequence[Mapping[str, float]]) -> Array:
    return np.array([[_covariance(one, other) for other in features] for one in features], dtype=np.float64)


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
