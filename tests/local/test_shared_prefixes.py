"""Which prompts wait for a prefix that another one is reading."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.local.shared_prefixes import SharedPrefixes, block_keys

PROMPT = st.lists(st.integers(0, 2), max_size=12)


def shared(one: list[int], other: list[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@given(PROMPT, PROMPT, st.integers(1, 4))
def test_prompts_share_the_blocks_that_they_agree_up_to(one, other, size):
    keys, others = block_keys(one, size), block_keys(other, size)
    assert len(keys) == len(one) // size
    assert len(set(keys) & set(others)) == shared(one, other) // size


@given(st.lists(PROMPT, max_size=3), st.lists(PROMPT, max_size=3), PROMPT)
def test_a_prompt_waits_for_what_is_being_read_and_is_not_cached(read, reading, prompt):
    prefixes = SharedPrefixes(capacity=1000)
    for one in read:
        prefixes.add(block_keys(one, 2))
    cached = max((shared(one, prompt) // 2 for one in read), default=0)
    soon = max((shared(one, prompt) // 2 for one in reading), default=0)
    waits = prefixes.should_wait(block_keys(prompt, 2), {key for one in reading for key in block_keys(one, 2)})
    assert waits == (soon > cached)


def test_what_the_cache_has_lost_is_read_again():
    prefixes = SharedPrefixes(capacity=2)
    prefixes.add([1, 2])
    prefixes.add([1, 3])
    assert not prefixes.should_wait([1, 4], {1, 5})
    assert prefixes.should_wait([2, 4], {2, 5})
