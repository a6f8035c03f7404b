"""Anytime programs and their metric under DSPy's own optimisers, and PDP among them."""

from __future__ import annotations

import json

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.optimizers import PDP
from anytime_dspy.testing import asked_for, chat, prefill_of, prompt_of, scripted_lm
from tests.fakes.simulated import PLANTED, examples, simulated, skill_of

METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))
TRAIN, VALIDATION = examples(1, 6), examples(100, 8)
OURS = {"answer", "better", "rules", "sentences"}

pytestmark = [
    # What DSPy's optimisers themselves warn of is no fault here.
    pytest.mark.filterwarnings("ignore"),
]


def reply(request):
    """The simulated engine, which also writes whatever field DSPy's optimisers ask for."""
    wanted = asked_for(request)
    own = prefill_of(request) is not None or not OURS.isdisjoint(wanted)
    return simulated(request) if own else chat(**dict.fromkeys(wanted, PLANTED))


@pytest.fixture
def lm():
    engine_lm = scripted_lm(reply)
    with dspy.context(lm=engine_lm):
        yield engine_lm


def student():
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 24, 32, 40), answer_tokens=8)


def index_of(program):
    return sum(METRIC(example, program(**example.inputs())) for example in VALIDATION) / len(VALIDATION)


def continued(program):
    return PDP(METRIC, samples=3, trials=4).compile(program, trainset=TRAIN, valset=VALIDATION)


def test_pdp_goes_on_from_bootstrapped_demonstrations(lm):
    found = dspy.BootstrapFewShotWithRandomSearch(
        METRIC, max_bootstrapped_demos=2, max_labeled_demos=0, num_candidate_programs=2, num_threads=1
    ).compile(student(), trainset=TRAIN, valset=VALIDATION)
    assert isinstance(found, ad.Anytime)
    assert [point.budget for point in found(**VALIDATION[0].inputs()).checkpoints] == [16, 24, 32, 40]
    done = continued(found)
    assert done.compile_report.search.score >= index_of(found)


def test_pdp_goes_on_from_mipro(lm):
    found = dspy.MIPROv2(METRIC, auto=None, num_candidates=2, num_threads=1, verbose=False).compile(
        student(),
        trainset=TRAIN,
        valset=VALIDATION,
        num_trials=2,
        minibatch=False,
        max_bootstrapped_demos=1,
        max_labeled_demos=0,
        program_aware_proposer=False,
        data_aware_proposer=False,
    )
    assert isinstance(found, ad.Anytime)
    assert continued(found).compile_report.search.score >= index_of(found)


def test_pdp_goes_on_from_simba(lm):
    found = dspy.SIMBA(metric=METRIC, bsize=2, num_candidates=2, max_steps=1, max_demos=1, num_threads=1).compile(
        student(), trainset=TRAIN, seed=0
    )
    assert isinstance(found, ad.Anytime)
    assert continued(found).compile_report.search.score >= index_of(found)


def test_gepa_reads_at_which_budget_the_answer_went_wrong(lm):
    read = []

    def reflecting(request):
        read.append(prompt_of(request))
        return json.dumps({"new_instruction": PLANTED})

    found = dspy.GEPA(
        METRIC, max_metric_calls=20, reflection_lm=scripted_lm(reflecting), reflection_minibatch_size=2, num_threads=1
    ).compile(student(), trainset=TRAIN, valset=VALIDATION)
    assert isinstance(found, ad.Anytime)
    assert any("where reasoning stops at 16 tokens: 0" in prompt for prompt in read)
    assert PLANTED in found.program.predict.signature.instructions
    assert index_of(found) > index_of(student())
    assert continued(found).compile_report.search.score >= index_of(found)


def test_better_together_takes_pdp(lm):
    program = student()
    program.set_lm(lm)
    together = dspy.BetterTogether(METRIC, p=PDP(METRIC, samples=3, trials=3))
    found = together.compile(program, trainset=TRAIN, valset=VALIDATION, strategy="p")
    assert not found.flag_compilation_error_occurred
    assert skill_of(found) > skill_of(student())
    assert found.candidate_programs[0]["strategy"] == "p"
