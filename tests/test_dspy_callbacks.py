"""What DSPy's callbacks are told of a compile, its trials and of sweeps."""

from __future__ import annotations

from functools import partial

import dspy
import pytest
from dspy.utils.callback import BaseCallback

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import PDP
from anytime_dspy.storage.results import without_texts
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import scripted_lm
from tests.fakes.simulated import examples, simulated

METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))


class Seen(BaseCallback):
    """Remembers compiles and evaluations: how each began, and how it ended."""

    def __init__(self) -> None:
        self.begun, self.ended, self.compiles = {}, {}, []

    def on_compile_start(self, call_id, instance, inputs):
        self.compiles.append(type(instance).__name__)

    def on_compile_end(self, call_id, outputs, exception=None):
        self.compiles.append(type(outputs).__name__)

    def on_evaluate_start(self, call_id, instance, inputs):
        assert isinstance(instance, dspy.Evaluate)
        assert isinstance(inputs["program"], ad.Anytime)
        self.begun[call_id] = inputs["callback_metadata"]["metric_key"]

    def on_evaluate_end(self, call_id, outputs, exception=None):
        assert call_id in self.begun
        self.ended[call_id] = exception or outputs

    @property
    def only(self):
        [ended] = self.ended.values()
        return ended


@pytest.fixture
def seen():
    return Seen()


def student():
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32, 48), answer_tokens=8)


def swept(seen, data, **options):
    with dspy.context(lm=scripted_lm(simulated), callbacks=[seen]):
        return sweep(student(), data, METRIC, **options)


def test_each_trial_of_a_race_is_an_evaluation(seen):
    pdp = PDP(METRIC, trials=4, samples=3, judge="metric", rounds=1, threads=2)
    with dspy.context(lm=scripted_lm(simulated), callbacks=[seen]):
        compiled = pdp.compile(student(), trainset=examples(1, 8), valset=examples(100, 16))
    race = compiled.compile_report.rounds[0].race
    assert seen.compiles == ["PDP", "Anytime"]
    assert len(seen.begun) == len(seen.ended) == sum(one.heats for one in race.standings) > 4
    assert set(seen.begun.values()) == {"anytime_index"}
    ran = sum(len(one.scores) for one in race.standings)
    assert sum(len(ended.results) for ended in seen.ended.values()) == ran


def test_a_sweep_is_an_evaluation_with_the_mean_index_as_its_score(seen):
    data = examples(200, 6)
    results = swept(seen, data, threads=2)
    assert list(seen.begun.values()) == ["anytime_index"]
    curves = [[point.quality for point in result.points] for result in results]
    assert 0 < seen.only.score < 100
    assert seen.only.score == pytest.approx(100 * ad.anytime_index(curves, (16, 32, 48)).mean(), abs=0.01)
    assert [example for example, _, _ in seen.only.results] == data
    assert [prediction.answer for _, prediction, _ in seen.only.results] == [
        result.points[-1].prediction["answer"] for result in results
    ]


def test_a_sweep_that_goes_on_tells_of_all_its_examples(seen, tmp_path):
    data = [example.copy(id=str(place)).with_inputs("question") for place, example in enumerate(examples(200, 6))]
    store = partial(RunStore.open, tmp_path / "run", {"task": "sums"})
    swept(Seen(), data[:4], store=store())
    swept(seen, data, store=store())
    assert len(seen.only.results) == 6


def test_an_example_that_failed_has_no_score_and_a_sweep_that_failed_is_an_exception(seen):
    def quality(example, prediction):
        if "200" in example.question:
            raise ValueError("no gold answer")
        return METRIC.quality(example, prediction)

    with dspy.context(lm=scripted_lm(simulated), callbacks=[seen]):
        sweep(student(), examples(200, 4), ad.AnytimeIndex(quality))
        assert len(seen.only.results) == 3
        with pytest.raises(AnytimeError, match="no gold answer"):
            sweep(student(), examples(200, 1), ad.AnytimeIndex(quality))
    assert isinstance(list(seen.ended.values())[1], AnytimeError)


def test_an_evaluation_shows_no_texts_that_a_sweep_may_not_keep(seen):
    swept(seen, examples(200, 3), redact=partial(without_texts, answer_key=lambda prediction: prediction.answer))
    assert "sum of" not in str(seen.only.results)
    assert "step" not in str(seen.only.results)
    assert len(seen.only.results) == 3


def test_a_sweep_that_nobody_listens_to_gives_the_same(seen):
    with dspy.context(lm=scripted_lm(simulated)):
        alone = sweep(student(), examples(200, 4), METRIC)
    listened = swept(seen, examples(200, 4))
    assert [[point.quality for point in one.points] for one in alone] == [
        [point.quality for point in one.points] for one in listened
    ]
