"""How sure a gain must be before a candidate is returned: the user says, before a compile or after it."""

from __future__ import annotations

import pytest

from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers import PDP
from anytime_dspy.testing import scripted_lm
from tests.fakes.simulated import simulated
from tests.optimizers.search.test_race import raced
from tests.optimizers.test_raced import METRIC, compiled, student


def test_how_sure_a_gain_must_be_is_the_users_to_say_and_may_be_said_afterwards(tmp_path):
    lm = scripted_lm(simulated)
    found = compiled(lm, log_dir=tmp_path).compile_report.search
    assert 0.9 <= found.chance < 1
    calls = len(lm.engine.requests)
    strict = compiled(lm, log_dir=tmp_path, sure=(found.chance + 1) / 2)
    assert strict.dump_state() == student().dump_state()
    assert strict.compile_report.search.winner == "student"
    loose = compiled(lm, log_dir=tmp_path, sure=0.5)
    assert loose.compile_report.search.winner == found.winner
    assert len(lm.engine.requests) == calls


@pytest.mark.parametrize("sure", [0.4, 1, 1.5, "0.9", None, float("nan")])
def test_a_chance_that_is_none_is_refused(sure):
    with pytest.raises(AnytimeError, match="sure must be a probability"):
        PDP(METRIC, sure=sure)


@pytest.mark.slow
def test_who_takes_less_for_sure_decides_on_the_same_examples():
    """A leader that the overtime showed to be none is not returned because it had looked likely before."""
    for seed in range(12):
        strict, loose = (raced({}, seed=seed, examples=24, overtime=23, sure=sure).report for sure in (0.9, 0.5))
        assert [one.scores for one in loose.standings] == [one.scores for one in strict.standings]
        assert (loose.winner > 0) == (strict.standings[strict.leader].gain.chance >= 0.5)
