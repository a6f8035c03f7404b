"""A quality function that raises costs its example, not the run."""

from __future__ import annotations

import logging

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, scripted_lm

EXAMPLES = [dspy.Example(id=n, question=f"{n}?").with_inputs("question") for n in range(5)]


def swept(quality, store=None):
    anytime = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 16), answer_tokens=16)
    lm = scripted_lm(lambda request: chat(reasoning="so", answer="4"))
    with dspy.context(lm=lm):
        return sweep(anytime, EXAMPLES, ad.AnytimeIndex(quality), store=store), len(lm.engine.requests)


def failing(example, prediction):
    return 1 / (example.id - 2) ** 2 if example.id in (2,) else float("nan") if example.id == 3 else 1.0


def test_a_quality_that_raises_is_its_examples_error_and_tried_again(tmp_path, caplog):
    store = RunStore.open(tmp_path / "run", {})
    with caplog.at_level(logging.WARNING):
        results, calls = swept(failing, store)
    assert calls == 5
    assert [result.error is None for result in results] == [True, True, False, False, True]
    assert results[2].error == "ZeroDivisionError: division by zero (raised by the quality function)"
    assert "number in [0, 1], but returned nan" in results[3].error
    assert "2 of 5 examples failed" in caplog.text
    again, calls = swept(lambda example, prediction: 1.0, RunStore.open(tmp_path / "run", {}))
    assert calls == 2
    assert all(result.error is None for result in again)


def test_a_quality_that_raises_on_every_example_is_one_error():
    with pytest.raises(ad.AnytimeError, match=r"All 5 examples failed; the first said: KeyError: 'gold' \(raised by"):
        swept(lambda example, prediction: {}["gold"])


def test_under_dspys_evaluate_the_others_are_scored():
    anytime = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 16), answer_tokens=16)
    with dspy.context(lm=scripted_lm(lambda request: chat(reasoning="so", answer="4"))):
        evaluate = dspy.Evaluate(devset=EXAMPLES, metric=ad.AnytimeIndex(failing), display_progress=False)
        assert evaluate(anytime).score == 60.0
