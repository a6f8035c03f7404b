from __future__ import annotations

import itertools
import math
import random
from statistics import mean

import choix
import numpy as np
import pytest
from scipy.stats import kendalltau

from anytime_dspy.optimizers.judges.tournament import PRIOR, ROUND_ROBIN, first_pairs, strengths

MANY = (7, 8, 12, 16, 24, 32, 48, 64)


class Contest:
    """Things of known strength, compared by a judge that errs as a Bradley-Terry model does; ties where it wavers."""

    def __init__(self, n, seed, noise=0.5):
        self._dice = random.Random(seed)
        self._noise = noise
        self.truth = [4 * self._dice.random() for _ in range(n)]
        self.met = []

    def compare(self, first, second):
        self.met.append(frozenset((first, second)))
        votes = [self._prefers(first, second) for _ in range(2)]
        return 0.5 if votes[0] != votes[1] else float(votes[0])

    def _prefers(self, first, second):
        gap = self.truth[first] - self.truth[second]
        return gap > 0 if not self._noise else self._dice.random() < 1 / (1 + math.exp(-2 * gap / self._noise))

    def tau(self, scores):
        return kendalltau(scores, self.truth).statistic


def random_schedule(n, contest, comparisons):
    """As many comparisons of pairs drawn at random, read by the same model."""
    points = np.zeros((n, n))
    for first, second in random.Random(n).sample(list(itertools.combinations(range(n), 2)), comparisons):
        won = contest.compare(first, second)
        points[first, second], points[second, first] = won, 1 - won
    return choix.ilsr_pairwise_dense(points, alpha=PRIOR)


@pytest.mark.parametrize("n", range(4, 65, 4))
def test_a_tournament_spends_no_more_than_n_log_n_comparisons_and_none_twice(n):
    contest = Contest(n, seed=n)
    strengths(n, contest.compare)
    assert len(set(contest.met)) == len(contest.met)
    if n > ROUND_ROBIN:
        assert len(contest.met) <= n * math.log2(n)
    else:
        assert len(contest.met) == n * (n - 1) / 2


@pytest.mark.parametrize("n", [8, 16, 32, 64])
def test_no_thing_is_left_out_of_a_tournament(n):
    contest = Contest(n, seed=n)
    strengths(n, contest.compare)
    assert set().union(*contest.met) == set(range(n))


def test_a_tournament_ranks_better_than_as_many_comparisons_drawn_at_random():
    found, drawn = [], []
    for n, seed in itertools.product(MANY[1:], range(3)):
        contest = Contest(n, seed)
        found.append(contest.tau(strengths(n, contest.compare)))
        spent = len(contest.met)
        drawn.append(contest.tau(random_schedule(n, Contest(n, seed), spent)))
    assert mean(found) > mean(drawn) + 0.05
    assert mean(found) > 0.8


@pytest.mark.parametrize("n", MANY)
def test_without_errors_the_best_of_many_comes_first(n):
    contest = Contest(n, seed=n, noise=0)
    scores = strengths(n, contest.compare)
    assert int(np.argmax(scores)) == int(np.argmax(contest.truth))
    assert contest.tau(scores) > 0.75


@pytest.mark.parametrize("n", [2, 6, 7, 30])
def test_where_everything_ties_everyone_has_one_half(n):
    assert strengths(n, lambda first, second: 0.5) == pytest.approx([0.5] * n)


@pytest.mark.parametrize("n", [2, 6, 7, 30])
def test_shares_stay_within_their_range_and_add_up(n):
    scores = strengths(n, lambda first, second: float(first < second))
    assert all(0 <= score <= 1 for score in scores)
    assert sum(scores) == pytest.approx(n / 2)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 7, 20])
def test_the_first_pairs_are_among_those_that_are_compared(n):
    contest = Contest(n, seed=1)
    if n > 1:
        strengths(n, contest.compare)
    assert {frozenset(pair) for pair in first_pairs(n)} <= set(contest.met)
