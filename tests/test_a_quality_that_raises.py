"""A quality function that raises costs its example, not the run."""

from __future__ import annotations

import logging

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import LEAP, PDP
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, scripted_lm
from tests.fakes.simulated import examples, simulated

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
    with pytest.raises(ad.AnytimeError, match=r"all 5 examples failed; the first said: KeyError: 'gold' \(raised by"):
        swept(lambda example, prediction: {}["gold"])


def test_under_dspys_evaluate_the_others_are_scored():
    anytime = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 16), answer_tokens=16)
    with dspy.context(lm=scripted_lm(lambda request: chat(reasoning="so", answer="4"))):
        evaluate = dspy.Evaluate(devset=EXAMPLES, metric=ad.AnytimeIndex(failing), display_progress=False)
        assert evaluate(anytime).score == 60.0


def lacking(example, prediction):
    return example.gold == prediction.answer


@pytest.mark.parametrize("example", [dspy.Example(id="e7", question="7?"), dspy.Example(question="7?")])
def test_the_error_names_the_example_and_the_quality_function(example):
    example = example.with_inputs("question")
    metric = ad.AnytimeIndex(lacking)
    said = r"quality function lacking raised AttributeError: .*gold.* on the example (e7|{'question': '7\?'}): mend it"
    with dspy.context(lm=scripted_lm(lambda request: chat(reasoning="so", answer="4"))):
        prediction = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8,), answer_tokens=16)(question="7?")
    with pytest.raises(ad.AnytimeError, match=said) as raised:
        metric.quality_of(example, prediction)
    assert isinstance(raised.value.__cause__, AttributeError)


@pytest.mark.parametrize("judge", ["agreement", "metric"])
@pytest.mark.parametrize("place", [2, 20])  # one that traces are sampled on, one that the race alone runs
def test_a_compile_ends_in_one_error_that_names_both(judge, place):
    trainset = [one.copy(id=f"e{n}").with_inputs("question") for n, one in enumerate(examples(1, 24))]

    def quality(example, prediction):
        return {}["gold"] if example.id == f"e{place}" else float(prediction.answer == example.answer)

    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 16, 32), answer_tokens=16)
    pdp = PDP(ad.AnytimeIndex(quality), judge=judge, samples=4, sampled=8, trials=4, rounds=1)
    said = rf"quality function \S*quality raised KeyError: 'gold' on the example e{place}:"
    with dspy.context(lm=scripted_lm(simulated)), pytest.raises(ad.AnytimeError, match=said):
        pdp.compile(student, trainset=trainset)


def test_leap_too_ends_in_one_error_that_names_both():
    trainset = [one.copy(id=f"e{n}").with_inputs("question") for n, one in enumerate(examples(1, 4))]
    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 16, 32), answer_tokens=16)
    said = r"quality function lacking raised AttributeError: .* on the example e\d:"
    with dspy.context(lm=scripted_lm(simulated)), pytest.raises(ad.AnytimeError, match=said):
        LEAP(ad.AnytimeIndex(lacking), samples=2).compile(student, trainset=trainset)
