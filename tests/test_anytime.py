"""`Anytime`: an answer at each of several budgets from one run."""

from __future__ import annotations

import asyncio
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import cloudpickle
import dspy
import pydantic
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import asked_for, chat, is_forced, prefill_of, prompt_of, question_of, scripted_lm, words
from tests.fakes.programs import Pipeline, is_hidden

BUDGETS = (8, 16, 32, 64)


def solver(request) -> str:
    """Thinks 40 words; asked earlier, it says how many of them it had."""
    begun = prefill_of(request)
    return chat(reasoning=words(40), answer="sure") if begun is None else f"guess after {begun.count('think')}"


def anytime(program: dspy.Module | None = None, budgets=BUDGETS, **options) -> ad.Anytime:
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), budgets, answer_tokens=20, **options)


def answers(prediction: ad.AnytimePrediction) -> list[str]:
    return [checkpoint.prediction.answer for checkpoint in prediction.checkpoints]


def test_one_run_is_cut_at_every_smaller_budget():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm):
        prediction = anytime()(question="?")
    assert prediction.answer == "sure"
    assert answers(prediction) == ["guess after 8", "guess after 16", "guess after 32", "sure"]
    assert [checkpoint.budget for checkpoint in prediction.checkpoints] == [8, 16, 32, 64]
    assert [checkpoint.reasoning_tokens for checkpoint in prediction.checkpoints] == [8, 16, 32, 40]
    assert [checkpoint.forced for checkpoint in prediction.checkpoints] == [True, True, True, False]
    assert all(checkpoint.answered for checkpoint in prediction.checkpoints)


def test_answers_are_forced_from_the_largest_budget_down():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm):
        anytime()(question="?")
    begun = [prefill_of(request) for request in lm.engine.requests]
    assert begun[0] is None
    assert [text.count("think") for text in begun[1:]] == [32, 16, 8]


def test_a_trace_that_ended_early_is_carried_and_costs_nothing():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm):
        prediction = anytime(budgets=(16, 40, 64, 1000))(question="?")
    assert answers(prediction) == ["guess after 16", "sure", "sure", "sure"]
    assert len(lm.engine.requests) == 2
    assert [checkpoint.budget for checkpoint in prediction.checkpoints] == [16, 40, 64, 1000]


def test_a_pipeline_is_replayed_cut_and_answered_at_once():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm):
        prediction = anytime(Pipeline(2), budgets=(20, 40, 60, 80))(question="?")
    least, first, cut, whole = prediction.checkpoints
    assert [call.reasoning_tokens for call in whole.calls] == [40, 40]
    assert [call.reasoning_tokens for call in cut.calls] == [40, 20]
    assert [call.reasoning_tokens for call in first.calls] == [40, 0]
    assert [call.reasoning_tokens for call in least.calls] == [20, 0]
    # At the least budget the second step is asked another question, since the first gave another answer.
    assert [call.inputs["question"] for call in whole.calls] == ["?", "sure"]
    assert [call.inputs["question"] for call in least.calls] == ["?", "guess after 20"]
    assert [call.predictor for call in whole.calls] == ["steps[0].predict", "steps[1].predict"]
    # Two calls of the run, one cut, one answer at once, and two at the least budget.
    assert len(lm.engine.requests) == 6


def test_each_checkpoint_says_what_a_run_at_that_budget_costs():
    lm, program = scripted_lm(solver), Pipeline(2)
    with dspy.context(lm=lm):
        checkpoints = anytime(program, budgets=(20, 40, 60, 80))(question="?").checkpoints
        for checkpoint in checkpoints:
            with ad.budget(checkpoint.budget, answer_tokens=20) as spent:
                program(question="?")
            assert checkpoint.usage.reasoning_tokens == spent.usage.reasoning_tokens
            assert checkpoint.usage.calls == spent.usage.calls
            assert checkpoint.answer_tokens == sum(call.answer_tokens for call in spent.calls)


def test_a_sweep_inside_a_budget_pays_once():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm), ad.budget(48, answer_tokens=20) as outer:
        prediction = anytime()(question="?")
    assert answers(prediction) == ["guess after 8", "guess after 16", "guess after 32", "sure"]
    assert outer.reasoning == 40
    assert outer.usage.calls == len(lm.engine.requests) == 4
    assert outer.usage.reasoning_tokens + outer.usage.answer_tokens == lm.engine.written
    with dspy.context(lm=scripted_lm(solver)), ad.budget(12, answer_tokens=20) as outer:
        prediction = anytime()(question="?")
    assert answers(prediction) == ["guess after 8", *["guess after 12"] * 3]
    assert outer.reasoning == 12


def test_at_binds_one_budget():
    program = anytime()
    with dspy.context(lm=scripted_lm(solver)):
        prediction = program.at(16)(question="?")
        checkpoint = program(question="?").checkpoints[1]
    assert type(prediction) is dspy.Prediction
    assert prediction.toDict() == checkpoint.prediction.toDict()
    assert [name for name, _ in program.at(16).named_predictors()] == ["predict"]


def test_contract_mode_runs_once_for_each_budget():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm):
        prediction = anytime(mode="contract")(question="?")
    assert answers(prediction) == ["guess after 8", "guess after 16", "guess after 32", "sure"]
    assert [request.config.max_tokens for request in lm.engine.requests if prefill_of(request) is None] == [
        84,
        52,
        36,
        28,
    ]


class Trip(pydantic.BaseModel):
    city: str
    days: int


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "12", 12),
        (list[str], '["a", "b"]', ["a", "b"]),
        (Literal["yes", "no"], "no", "no"),
        (Trip, '{"city": "Oslo", "days": 3}', Trip(city="Oslo", days=3)),
        (str | None, "so", "so"),
    ],
)
@pytest.mark.parametrize("can_continue", [True, False])
def test_answers_keep_their_types(annotation, text, value, can_continue):
    signature = dspy.Signature("question -> answer").with_updated_fields("answer", type_=annotation)

    def reply(request):
        if prefill_of(request) is not None:
            return text
        return chat(answer=text) if is_forced(request) else chat(reasoning=words(40), answer=text)

    with dspy.context(lm=scripted_lm(reply, can_continue=can_continue)):
        prediction = anytime(dspy.ChainOfThought(signature))(question="?")
    assert answers(prediction) == [value] * 4
    assert [checkpoint.forced for checkpoint in prediction.checkpoints] == [True, True, True, False]


def test_an_answer_that_cannot_be_read_is_none_and_not_answered():
    def reply(request):
        return "about a dozen" if prefill_of(request) is not None else chat(reasoning=words(40), answer="12")

    with dspy.context(lm=scripted_lm(reply)):
        prediction = anytime(dspy.ChainOfThought("question -> answer: int"), budgets=(8, 64))(question="?")
    assert answers(prediction) == [None, 12]
    assert [checkpoint.answered for checkpoint in prediction.checkpoints] == [False, True]


def test_several_answer_fields_are_all_asked_for():
    def reply(request):
        if prefill_of(request) is None:
            return chat(reasoning=words(40), plan="go", cost="7")
        return "stay\n\n" + chat(cost="0")

    with dspy.context(lm=scripted_lm(reply)):
        prediction = anytime(dspy.ChainOfThought("question -> plan, cost: int"), budgets=(8, 64))(question="?")
    assert [(c.prediction.plan, c.prediction.cost) for c in prediction.checkpoints] == [("stay", 0), ("go", 7)]


def test_a_reasoning_typed_field_keeps_its_type():
    class Reasoned(dspy.Signature):
        question: str = dspy.InputField()
        reasoning: dspy.Reasoning = dspy.OutputField()
        answer: str = dspy.OutputField()

    with dspy.context(lm=scripted_lm(solver)):
        prediction = anytime(dspy.Predict(Reasoned))(question="?")
    assert answers(prediction) == ["guess after 8", "guess after 16", "guess after 32", "sure"]
    assert all(isinstance(c.prediction.reasoning, dspy.Reasoning) for c in prediction.checkpoints)
    assert prediction.checkpoints[0].prediction.reasoning == words(8)


def test_an_agent_with_tools_answers_at_every_budget():
    def look_up(key: str) -> str:
        """Looks a key up."""
        return f"value of {key}"

    def reply(request):
        if prefill_of(request) is None and "next_thought" in asked_for(request):
            if "observation_0" in question_of(request):
                return chat(next_thought=words(20), next_tool_name="finish", next_tool_args="{}")
            return chat(next_thought=words(20), next_tool_name="look_up", next_tool_args='{"key": "x"}')
        if prefill_of(request) is None:
            return chat(reasoning=words(20), answer="value of x")
        return "finish\n\n" + chat(next_tool_args="{}") if "next_tool_name" in prefill_of(request) else "unknown"

    with dspy.context(lm=scripted_lm(reply)):
        prediction = anytime(dspy.ReAct("question -> answer", tools=[look_up]), budgets=(10, 30, 90))(question="?")
    assert answers(prediction) == ["unknown", "unknown", "value of x"]
    assert [len(checkpoint.calls) for checkpoint in prediction.checkpoints] == [2, 3, 3]


def test_async_equals_sync():
    async def run() -> ad.AnytimePrediction:
        with dspy.context(lm=scripted_lm(solver)):
            return await anytime(Pipeline(2)).acall(question="?")

    with dspy.context(lm=scripted_lm(solver)):
        expected = anytime(Pipeline(2))(question="?")
    prediction = asyncio.run(run())
    assert prediction.toDict() == expected.toDict()
    assert [c.calls for c in prediction.checkpoints] == [c.calls for c in expected.checkpoints]


def test_threads_with_different_budgets_do_not_mix():
    def run(tokens: int) -> list[str]:
        with dspy.context(lm=lm):
            return answers(anytime(budgets=(tokens, 2 * tokens))(question=f"{tokens}?"))

    lm = scripted_lm(solver)
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(run, range(1, 20)))
    assert runs == [[f"guess after {n}", f"guess after {2 * n}"] for n in range(1, 20)]


def test_dspys_trace_holds_one_run():
    with dspy.context(lm=scripted_lm(solver), trace=[]):
        anytime(Pipeline(2))(question="?")
        assert [type(predictor) for predictor, _, _ in dspy.settings.trace] == [dspy.Predict, dspy.Predict]


def test_nothing_of_a_run_stays_on_the_program():
    program, lm = anytime(), scripted_lm(solver)
    with dspy.context(lm=lm):
        program(question="?")
        known = len(pickle.dumps(program.program.dump_state())), len(program.history), len(program.__dict__)
        for n in range(5):
            program(question=f"{n}?")
    assert len(pickle.dumps(program.program.dump_state())) == known[0]
    assert len(program.history) == 6 * known[1]  # DSPy's own record: what was called, and nothing twice
    assert len(program.__dict__) == known[2]
    assert len(lm.history) == len(lm.engine.requests)


def test_a_prediction_can_be_copied_and_pickled():
    with dspy.context(lm=scripted_lm(solver)):
        prediction = anytime()(question="?")
    for twin in (prediction.copy(), copy.deepcopy(prediction), cloudpickle.loads(cloudpickle.dumps(prediction))):
        assert twin.toDict() == prediction.toDict()
        assert answers(twin) == answers(prediction)
    assert prediction.copy(score=1.0).score == 1.0
    assert prediction.without("answer").keys() == ["reasoning"]


def test_dspy_tracks_the_usage_of_all_calls():
    lm = scripted_lm(solver)
    with dspy.context(lm=lm, track_usage=True):
        prediction = anytime()(question="?")
    assert prediction.get_lm_usage()[lm.model]["completion_tokens"] == lm.engine.written


def test_copies_keep_their_budgets():
    program = anytime(budgets=(3, 5), mode="contract")
    for twin in (copy.deepcopy(program), program.deepcopy(), program.reset_copy(), program.at(5).reset_copy()):
        assert twin.state.budgets in ((3, 5), (5,))
        assert (twin.state.answer_tokens, twin.state.mode) == (20, "contract")
        assert twin.state is not program.state
    assert program.reset_copy().program is not program.program


def test_a_compiled_program_inside_is_seen():
    teacher = dspy.BootstrapFewShot(
        metric=lambda example, prediction, trace=None: True, max_bootstrapped_demos=2, max_labeled_demos=0
    )
    trainset = [dspy.Example(question=f"{n}?", answer="sure").with_inputs("question") for n in range(3)]
    with dspy.context(lm=scripted_lm(solver)):
        compiled = teacher.compile(dspy.ChainOfThought("question -> answer"), trainset=trainset)
        program = anytime(compiled)
        prediction = program(question="?")
    assert is_hidden(compiled)
    assert [name for name, _ in program.named_predictors()] == ["predict"]
    assert len(program.program.predict.demos) == 2
    assert answers(prediction) == ["guess after 8", "guess after 16", "guess after 32", "sure"]


@pytest.mark.parametrize(
    "budgets", [(), (0, 1), (2, 1), (1, 1), (1.5,), ("64",), "64", 64, None, (True,), (-1, 4)], ids=repr
)
def test_bad_budgets_are_refused(budgets):
    with pytest.raises(ad.BudgetError) as refusal:
        ad.Anytime(dspy.ChainOfThought("question -> answer"), budgets)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ad.Anytime("question -> answer"), ad.ProgramError),
        (lambda: ad.Anytime(dspy.ChainOfThought), ad.ProgramError),
        (lambda: ad.Anytime(anytime()), ad.ProgramError),
        (lambda: ad.Anytime(dspy.Module()), ad.ProgramError),
        (lambda: anytime(mode="both"), ad.BudgetError),
        (lambda: ad.Anytime(dspy.Predict("q -> a"), (1, 2), answer_tokens=0), ad.BudgetError),
        (lambda: anytime().at(0), ad.BudgetError),
    ],
)
def test_programs_and_options_that_cannot_be_used_are_refused(make, error):
    with pytest.raises(error) as refusal:
        make()
    assert "\n" not in str(refusal.value)


def test_a_program_that_returns_no_prediction_is_refused():
    class Bare(dspy.Module):
        def __init__(self):
            super().__init__()
            self.predict = dspy.Predict("question -> answer")

        def forward(self, question):
            return self.predict(question=question).answer

    with dspy.context(lm=scripted_lm(lambda request: chat(answer="x"))), pytest.raises(ad.ProgramError, match="a str"):
        anytime(Bare())(question="?")


def quality(example, prediction) -> float:
    return float(prediction.answer == example.answer)


TRAINSET = [dspy.Example(question=f"{n}?", answer="sure").with_inputs("question") for n in range(6)]


def test_the_index_is_a_metric_for_evaluate():
    with dspy.context(lm=scripted_lm(solver)):
        evaluate = dspy.Evaluate(devset=TRAINSET * 4, metric=ad.AnytimeIndex(quality), num_threads=8)
        result = evaluate(anytime(budgets=(8, 32, 48)))
    # Right at the largest of three budgets alone: half of the last interval, which is 16 of 40 tokens wide.
    assert result.score == pytest.approx(100 * 0.5 * 16 / 40)


@pytest.mark.filterwarnings("ignore")  # the optimisers' own
@pytest.mark.parametrize("optimiser", ["random search", "mipro"])
def test_dspys_optimisers_take_an_anytime_program(optimiser, capsys):
    def reply(request):
        thought = words(10 + len(prompt_of(request)) % 40)
        known = {"reasoning": thought, "answer": "sure"}
        return chat(**{name: known.get(name, "Be brief.") for name in asked_for(request)})

    lm = scripted_lm(reply)
    metric, student = ad.AnytimeIndex(quality), anytime(Pipeline(1))
    with dspy.context(lm=lm):
        if optimiser == "mipro":
            pytest.importorskip("optuna")
            compiled = dspy.MIPROv2(metric=metric, auto=None, num_candidates=2, num_threads=1, verbose=False).compile(
                student,
                trainset=TRAINSET,
                valset=TRAINSET[:2],
                num_trials=2,
                max_bootstrapped_demos=1,
                max_labeled_demos=1,
                minibatch=False,
            )
        else:
            compiled = dspy.BootstrapFewShotWithRandomSearch(
                metric=metric, max_bootstrapped_demos=1, max_labeled_demos=1, num_candidate_programs=1, num_threads=1
            ).compile(student, trainset=TRAINSET)
        prediction = compiled(question="?")
    assert isinstance(compiled, ad.Anytime)
    assert compiled.budgets == BUDGETS
    assert [checkpoint.budget for checkpoint in prediction.checkpoints] == list(BUDGETS)
    assert compiled.program is not student.program
