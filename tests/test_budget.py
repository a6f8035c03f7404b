"""What a budget promises, whatever an LM writes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, prefill_of, question_of, scripted_lm, words
from tests.fakes.programs import Pipeline


def _chat(reasoning: int, answer: int, rambling: int) -> str:
    return f"{chat(reasoning=words(reasoning), answer=words(answer, 'say'))} {words(rambling, 'more')}"


def _solver(request: object) -> str:
    """Thinks 40 words, and knows the answer better the more of them it was left."""
    begun = prefill_of(request)
    return chat(reasoning=words(40), answer="sure") if begun is None else f"guess after {begun.count('think')}"


def test_a_call_is_cut_and_its_answer_asked_for():
    lm = scripted_lm(_solver)
    with dspy.context(lm=lm), ad.budget(16, answer_tokens=20) as spent:
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert prediction.answer == "guess after 16"
    assert prediction.reasoning == words(16)
    assert (spent.reasoning, spent.remaining, spent.forced, spent.answered) == (16, 0, True, True)
    assert [request.config.max_tokens for request in lm.engine.requests] == [36, 20]
    assert prefill_of(lm.engine.requests[1]).endswith(f"{words(16)}\n\n[[ ## answer ## ]]\n")


def test_a_call_within_its_budget_is_left_alone():
    lm = scripted_lm(_solver)
    with dspy.context(lm=lm), ad.budget(40, answer_tokens=20) as spent:
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert (prediction.answer, spent.reasoning, spent.remaining, spent.forced) == ("sure", 40, 0, False)
    assert len(lm.engine.requests) == 1


def test_an_lm_that_cannot_continue_is_shown_its_reasoning():
    def reply(request):
        if "partial_reasoning" not in question_of(request):
            return chat(reasoning=words(40), answer="sure")
        return chat(answer=f"guess after {question_of(request).count('think')}")

    lm = scripted_lm(reply, can_continue=False)
    demo = dspy.Example(question="a?", reasoning="because", answer="b").with_inputs("question")
    program = dspy.ChainOfThought("question -> answer")
    program.predict.demos = [demo]
    with dspy.context(lm=lm), ad.budget(12, answer_tokens=20) as spent:
        prediction = program(question="?")
    assert prediction.answer == "guess after 12"
    assert prediction.reasoning == words(12)
    assert spent.reasoning == 12
    shown = [message.text for message in lm.engine.requests[1].messages]
    assert "[[ ## partial_reasoning ## ]]\nbecause" in shown[0]
    assert "reasoning ## ]]" not in shown[1]


def test_calls_share_a_budget_and_answer_at_once_when_it_is_gone():
    lm = scripted_lm(_solver)
    with dspy.context(lm=lm), ad.budget(60, answer_tokens=20) as spent:
        Pipeline(3)(question="?")
    assert [call.reasoning_tokens for call in spent.calls] == [40, 20, 0]
    assert [call.forced for call in spent.calls] == [False, True, True]
    assert len(lm.engine.requests) == 4  # the third step was only asked for its answer
    assert spent.calls[2].outputs == {"reasoning": "", "answer": "guess after 0"}


def test_usage_counts_what_the_engine_wrote():
    lm = scripted_lm(_solver)
    with dspy.context(lm=lm), ad.budget(60, answer_tokens=20) as spent:
        Pipeline(3)(question="?")
    usage = spent.usage
    assert usage.reasoning_tokens == 60
    assert usage.reasoning_tokens + usage.answer_tokens == lm.engine.written
    assert usage.prompt_tokens == sum(response.usage.input_tokens for response in lm.engine.responses)
    assert usage.calls == 4
    assert usage.hidden_tokens == 0
    assert usage.dollars is None


def test_rambling_after_the_end_is_charged():
    lm = scripted_lm(lambda request: f"{chat(reasoning='short', answer='yes')} {words(500)}")
    with dspy.context(lm=lm), ad.budget(50, answer_tokens=20) as spent:
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert (prediction.answer, spent.reasoning, spent.forced) == ("yes", 50, False)
    assert lm.engine.written == 70


def test_an_answer_that_had_less_than_its_allowance_is_asked_for_again():
    # 5 words of header, 24 of reasoning and 5 more of header leave 6 of 40 for the answer.
    lm = scripted_lm(lambda request: "whole" if prefill_of(request) else _chat(24, 30, 0))
    with dspy.context(lm=lm), ad.budget(25, answer_tokens=15) as spent:
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert (prediction.answer, spent.forced) == ("whole", True)


def test_an_answer_cut_inside_the_mark_of_completion_is_whole():
    lm = scripted_lm(lambda request: _chat(4, 3, 0))
    with dspy.context(lm=lm), ad.budget(7, answer_tokens=12):
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert lm.engine.responses[0].message.text.endswith("[[ ##")
    assert prediction.answer == words(3, "say")


def test_reasoning_behind_a_preamble_is_found():
    lm = scripted_lm(lambda request: "forced" if prefill_of(request) else f"Sure!\n\n{_chat(30, 1, 0)}")
    with dspy.context(lm=lm), ad.budget(10, answer_tokens=8):
        prediction = dspy.ChainOfThought("question -> answer")(question="?")
    assert prediction.reasoning == f"Sure!\n\n{words(9)}"  # ten words: the preamble was paid for as well
    assert prefill_of(lm.engine.requests[1]).count("[[ ## reasoning ## ]]") == 1


def test_a_lower_cap_of_the_users_own_stays():
    lm = scripted_lm(_solver, max_tokens=30)
    with dspy.context(lm=lm), ad.budget(100, answer_tokens=40):
        dspy.ChainOfThought("question -> answer")(question="?")
        dspy.ChainOfThought("question -> answer", max_tokens=10)(question="??")
    assert [request.config.max_tokens for request in lm.engine.requests] == [30, 30, 10, 10]


def test_an_inner_budget_never_has_more_than_the_outer_one():
    lm, program = scripted_lm(_solver), dspy.ChainOfThought("question -> answer")
    with dspy.context(lm=lm), ad.budget(20, answer_tokens=9) as outer:
        with ad.budget(8, answer_tokens=5) as inner:
            program(question="?")
        assert (inner.reasoning, outer.reasoning, outer.remaining) == (8, 8, 12)
        with ad.budget(100, answer_tokens=5) as inner:
            program(question="?")
        assert (inner.reasoning, outer.reasoning, outer.remaining) == (12, 20, 0)
    assert outer.usage.calls == 4
    assert outer.usage.reasoning_tokens + outer.usage.answer_tokens == lm.engine.written


def test_threads_with_different_budgets_do_not_mix():
    lm, program = scripted_lm(_solver), Pipeline(2)

    def run(tokens: int) -> tuple[int, str]:
        with dspy.context(lm=lm), ad.budget(tokens, answer_tokens=20) as spent:
            prediction = program(question="?")
        assert spent.budget == ad.Budget(tokens=tokens)
        return spent.reasoning, prediction.answer

    budgets = [1 + (7 * i) % 83 for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(run, budgets))
    assert [reasoning for reasoning, _ in runs] == [min(tokens, 80) for tokens in budgets]


def test_calls_in_parallel_share_one_budget():
    lm, program = scripted_lm(_solver), dspy.ChainOfThought("question -> answer")
    examples = [dspy.Example(question=f"{i}?").with_inputs("question") for i in range(8)]
    with dspy.context(lm=lm), ad.budget(100, answer_tokens=20) as spent:
        dspy.Parallel(num_threads=4, disable_progress_bar=True)([(program, example) for example in examples])
    assert len(spent.calls) == 8
    assert spent.reasoning == 100
    assert sorted(call.reasoning_tokens for call in spent.calls) == [0, 0, 0, 0, 0, 20, 40, 40]


def test_async_equals_sync():
    def run() -> ad.Call:
        with dspy.context(lm=scripted_lm(_solver)), ad.budget(60, answer_tokens=20) as spent:
            Pipeline(3)(question="?")
        return spent.calls

    async def arun() -> ad.Call:
        with dspy.context(lm=scripted_lm(_solver)), ad.budget(60, answer_tokens=20) as spent:
            await Pipeline(3).acall(question="?")
        return spent.calls

    assert asyncio.run(arun()) == run()


def test_tasks_of_one_loop_share_a_budget():
    lm, program = scripted_lm(_solver), dspy.ChainOfThought("question -> answer")

    async def run() -> int:
        with dspy.context(lm=lm), ad.budget(70, answer_tokens=20) as spent:
            await asyncio.gather(*(program.acall(question=f"{i}?") for i in range(4)))
        return spent.reasoning

    assert asyncio.run(run()) == 70


def test_thinking_of_a_reasoning_model_is_charged_and_restated():
    def reply(request):
        return chat(answer="late" if "partial_reasoning" in question_of(request) else "early")

    class Reasoned(dspy.Signature):
        question: str = dspy.InputField()
        reasoning: dspy.Reasoning = dspy.OutputField()
        answer: str = dspy.OutputField()

    def thinking(request):
        return "" if "partial_reasoning" in question_of(request) else words(30)

    for tokens, answer in ((12, "late"), (40, "early")):
        lm = scripted_lm(reply, can_continue=False, thinking=thinking)
        with dspy.context(lm=lm), ad.budget(tokens, answer_tokens=15) as spent:
            prediction = dspy.Predict(Reasoned)(question="?")
        assert (prediction.answer, spent.reasoning) == (answer, min(tokens, 30))
        assert prediction.reasoning == words(min(tokens, 30))
        assert isinstance(prediction.reasoning, dspy.Reasoning)
        assert lm.engine.written <= tokens + 2 * 15


def test_the_json_fallback_is_never_used():
    lm = scripted_lm(["no format at all", "still none"])
    with dspy.context(lm=lm), ad.budget(20, answer_tokens=8) as spent:
        prediction = dspy.Predict("question -> answer: int")(question="?")
    assert len(lm.engine.requests) == 2
    assert prediction.answer is None
    assert not spent.answered


def test_an_adapter_of_the_users_keeps_its_fallback():
    adapter = dspy.ChatAdapter()
    with dspy.context(adapter=adapter), ad.budget(20):
        pass
    assert adapter.use_json_adapter_fallback


def test_predictors_without_reasoning_answer_also_when_nothing_is_left():
    def reply(request):
        return chat(reasoning=words(40), answer="no") if "reasoning" in question_of(request) else chat(answer="yes")

    lm = scripted_lm(reply)
    with dspy.context(lm=lm), ad.budget(40, answer_tokens=15) as spent:
        dspy.ChainOfThought("question -> answer")(question="?")
        prediction = dspy.Predict("text -> answer")(text="?")
    assert prediction.answer == "yes"
    assert spent.reasoning == 40


@pytest.mark.parametrize("options", [{"n": 2}, {"num_generations": 3}])
def test_several_completions_a_call_are_refused(options):
    with dspy.context(lm=scripted_lm(_solver)), ad.budget(20), pytest.raises(ad.ProgramError, match="one completion"):
        dspy.Predict("question -> answer", temperature=1.0, **options)(question="?")


def test_an_adapter_with_a_second_lm_is_refused():
    adapter = dspy.TwoStepAdapter(scripted_lm(_solver))
    with dspy.context(adapter=adapter), pytest.raises(ad.ProgramError, match="second LM"), ad.budget(20):
        pass


def test_a_history_that_is_switched_off_is_said():
    scene = dspy.context(lm=scripted_lm(_solver), disable_history=True)
    with scene, ad.budget(20), pytest.raises(ad.ProgramError, match="disable_history"):
        dspy.ChainOfThought("question -> answer")(question="?")


@pytest.mark.parametrize("tokens", [0, -1, 1.5, "64", None, True])
def test_a_budget_that_is_no_positive_integer_is_refused(tokens):
    with pytest.raises(ad.BudgetError) as refusal, ad.budget(tokens):
        pass
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("tokens", [0, -1, 1.5, "64", None, True])
def test_an_answer_allowance_that_is_no_positive_integer_is_refused(tokens):
    with pytest.raises(ad.BudgetError, match="answer_tokens"), ad.budget(20, answer_tokens=tokens):
        pass
