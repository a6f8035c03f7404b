"""What is believed of a candidate's gain, from paired scores and its parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.optimizers.search.effects import Measured, gains


def test_what_is_believed_of_a_gain_follows_its_parts():
    seen = dict.fromkeys(range(40), 0.4)
    none = dict.fromkeys(range(40), 0.0)
    with_it, without, asked = gains(
        [Measured({"a": 0.1, "b": 0.1}, seen), Measured({"b": 0.1, "c": 0.1}, none)], [{"a": 0.1}]
    )
    assert with_it.mean > asked.mean > without.mean
    assert 0 < with_it.mean < 0.4
    assert asked.sd > with_it.sd


@given(st.floats(-1, 1), st.integers(1, 200))
def test_a_gain_is_drawn_towards_zero_and_never_beyond(gain, items):
    [believed] = gains([Measured({"a": 0.1}, dict.fromkeys(range(items), gain))])
    assert abs(believed.mean) <= abs(gain)
    assert believed.mean * gain >= 0
    assert believed.interval[0] <= believed.mean <= believed.interval[1]
    assert (believed.chance > 0.5) <= (gain > 0)
