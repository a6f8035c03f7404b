"""What a replay does not do again: LM calls, forced answers and tools."""

from __future__ import annotations

import asyncio
import inspect
import time

import cloudpickle
import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.runtime.tool_tape import tape_tools
from anytime_dspy.testing import chat, prefill_of, question_of, scripted_lm, words

BUDGETS = (10, 30, 50, 90)


class Shelf:
    """A tool that knows how often it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._error = error

    def look_up(self, key: str) -> str:
        """Looks a key up."""
        self.asked.append(key)
        if self._error:
            raise self._error
        return f"value of {key}"

    async def look_up_later(self, key: str) -> str:
        """Looks a key up."""
        await asyncio.sleep(0)
        return self.look_up(key)


def agent(request) -> str:
    """Thinks 20 words a step: looks up x, then y, then answers."""
    begun, question = prefill_of(request), question_of(request)
    if begun is not None:
        return "finish\n\n" + chat(next_tool_args="{}") if "next_tool_name" in begun else "guess"
    if "next_thought" not in question:
        return chat(reasoning=words(20), answer="value of x and y")
    if "observation_1" in question:
        return chat(next_thought=words(20), next_tool_name="finish", next_tool_args="{}")
    key = "y" if "observation_0" in question else "x"
    tool = "look_up_later" if "look_up_later" in (request.system or "") else "look_up"
    return chat(next_thought=words(20), next_tool_name=tool, next_tool_args=f'{{"key": "{key}"}}')


def swept(tool, **options) -> ad.Anytime:
    return ad.Anytime(dspy.ReAct("question -> answer", tools=[tool]), BUDGETS, answer_tokens=30, **options)


def seen(checkpoint: ad.Checkpoint) -> tuple[object, ...]:
    inputs = [call.inputs for call in checkpoint.calls]
    return checkpoint.prediction.toDict(), inputs, checkpoint.reasoning_tokens, checkpoint.forced, checkpoint.answered


def test_a_tool_that_ran_before_the_cut_is_not_run_again():
    shelf, lm = Shelf(), scripted_lm(agent)
    with dspy.context(lm=lm):
        checkpoints = swept(shelf.look_up)(question="?").checkpoints
    assert shelf.asked == ["x", "y"]
    assert [c.prediction.answer for c in checkpoints] == ["guess", "guess", "guess", "value of x and y"]
    observed = [sum(name.startswith("observation") for name in c.prediction.trajectory) for c in checkpoints]
    assert observed == [1, 2, 3, 3]  # the last one is of "finish"


@pytest.mark.parametrize("error", [None, KeyError("no such shelf")])
def test_a_sweep_of_an_agent_sees_what_live_runs_see(error):
    shelf = Shelf(error)
    program = swept(shelf.look_up)
    with dspy.context(lm=scripted_lm(agent)):
        checkpoints = program(question="?").checkpoints
        assert shelf.asked == ["x", "y"]
        for checkpoint in checkpoints:
            with ad.budget(checkpoint.budget, answer_tokens=30) as spent:
                live = program.program(question="?")
            assert checkpoint.prediction.toDict() == live.toDict()
            assert [call.inputs for call in checkpoint.calls] == [call.inputs for call in spent.calls]
            assert checkpoint.reasoning_tokens == spent.reasoning
    assert ("no such shelf" in str(checkpoints[-1].prediction.trajectory)) == (error is not None)


@pytest.mark.parametrize("error", [None, KeyError("no such shelf")])
@pytest.mark.parametrize("tool", ["look_up", "look_up_later"])
def test_tools_are_replayed_in_asynchronous_runs_too(tool, error):
    shelf = Shelf(error)
    program = swept(getattr(shelf, tool))

    async def run() -> tuple[list[ad.Checkpoint], list[dspy.Prediction]]:
        with dspy.context(lm=scripted_lm(agent)):
            checkpoints = (await program.acall(question="?")).checkpoints
            assert shelf.asked == ["x", "y"]
            return checkpoints, [await program.at(tokens).acall(question="?") for tokens in BUDGETS]

    checkpoints, live = asyncio.run(run())
    assert [c.prediction.toDict() for c in checkpoints] == [prediction.toDict() for prediction in live]


def test_contract_mode_runs_tools_at_every_budget():
    shelf = Shelf()
    with dspy.context(lm=scripted_lm(agent)):
        swept(shelf.look_up, mode="contract")(question="?")
    assert shelf.asked == ["x", "y", "x", "y", "x"]  # from the largest budget down


def test_a_tool_that_asks_an_lm_is_charged_on_replay():
    helper = dspy.ChainOfThought("key -> hint")
    asked = []

    def consult(key: str) -> str:
        """Asks another model."""
        asked.append(key)
        return helper(key=key).hint

    def reply(request):
        question = question_of(request)
        if "`[[ ## hint ## ]]`" in question:
            return chat(reasoning=words(15), hint="warm")
        if prefill_of(request) is None and "next_thought" in question and "observation_0" not in question:
            return chat(next_thought=words(20), next_tool_name="consult", next_tool_args='{"key": "x"}')
        return agent(request) if prefill_of(request) else agent(request).replace("look_up", "finish")

    program, lm = swept(consult), scripted_lm(reply)
    with dspy.context(lm=lm):
        checkpoints = program(question="?").checkpoints
        assert asked == ["x"] * 3  # run again at 50 and at 30 tokens; at 10 the first step was cut
        for checkpoint in checkpoints:
            with ad.budget(checkpoint.budget, answer_tokens=30) as spent:
                program.program(question="?")
            assert in_order(checkpoint) == [dict(call.inputs) for call in spent.calls]
            assert checkpoint.reasoning_tokens == spent.reasoning


def test_tools_of_the_same_name_are_told_apart():
    def shelf(value: str):
        def look_up(key: str) -> str:
            """Looks a key up."""
            return value

        return look_up

    class Two(dspy.Module):
        def __init__(self):
            super().__init__()
            self.agents = [dspy.ReAct("question -> answer", tools=[shelf(value)]) for value in ("left", "right")]

        def forward(self, question):
            seen = [agent(question=question).trajectory["observation_0"] for agent in self.agents]
            return dspy.Prediction(answer=" ".join(seen))

    with dspy.context(lm=scripted_lm(agent)):
        prediction = ad.Anytime(Two(), (130, 140, 400), answer_tokens=30)(question="?")
    assert [c.prediction.answer for c in prediction.checkpoints] == ["left right"] * 3


def test_wrapped_tools_stay_what_they_were():
    shelf = Shelf()
    program = dspy.ReAct("question -> answer", tools=[shelf.look_up])
    before = str(program.tools["look_up"])
    tape_tools(program)
    tape_tools(program)  # once is enough
    tool = program.tools["look_up"]
    assert str(tool) == before
    assert inspect.getsource(tool.func) == inspect.getsource(Shelf.look_up)
    assert tool(key="x") == "value of x"
    assert shelf.asked == ["x"]
    twin = cloudpickle.loads(cloudpickle.dumps(program))
    assert twin.deepcopy().tools["look_up"](key="z") == "value of z"


def test_an_agent_without_budget_stops_and_answers():
    def reply(request):
        return chat(next_thought=words(9), next_tool_name="look_up", next_tool_args='{"key": "x"}')

    shelf, lm = Shelf(), scripted_lm(lambda request: "no tool at all" if prefill_of(request) else reply(request))
    with dspy.context(lm=lm), ad.budget(5, answer_tokens=30) as spent:
        prediction = dspy.ReAct("question -> answer", tools=[shelf.look_up])(question="?")
    assert prediction.answer == "no tool at all"
    assert len(spent.calls) == 3  # a step that was cut and could not be read, the end, and the answer
    assert spent.usage.calls == len(lm.engine.requests) == 3
    assert not spent.answered


def test_an_answer_counts_though_a_step_could_not_be_read():
    lm = scripted_lm(lambda request: "no tool" if prefill_of(request) else chat(next_thought=words(40)))
    with dspy.context(lm=lm):
        checkpoint = swept(Shelf().look_up)(question="?").checkpoints[0]
    assert checkpoint.calls[0].outputs["next_tool_name"] is None
    assert (checkpoint.prediction.answer, checkpoint.answered) == ("no tool", True)


def test_a_malformed_call_is_answered_once_for_all_budgets():
    lm = scripted_lm(lambda request: "forced" if prefill_of(request) else "no format")
    with dspy.context(lm=lm), ad.budget(200) as outer:
        ad.Anytime(dspy.ChainOfThought("question -> answer"), (3, 4, 50), answer_tokens=30)(question="?")
    # One run, one answer for what it wrote; at 3 and 4 budget tokens nothing was cut either.
    assert len(lm.engine.requests) == outer.usage.calls == 2
    assert outer.usage.reasoning_tokens + outer.usage.answer_tokens == lm.engine.written


class FanOut(dspy.Module):
    """Asks about several things at once, each in two steps."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.first = dspy.ChainOfThought("question -> answer")
        self.second = dspy.ChainOfThought("draft -> answer")
        self._threads = threads

    def forward(self, question: str) -> dspy.Prediction:
        parallel = dspy.Parallel(num_threads=self._threads, disable_progress_bar=True)
        return dspy.Prediction(answers=parallel([(self._ask, {"question": f"{question}{n}"}) for n in range(6)]))

    def _ask(self, question: str) -> str:
        return self.second(draft=self.first(question=question).answer + question).answer

    async def aforward(self, question: str) -> dspy.Prediction:
        async def ask(question: str) -> str:
            draft = (await self.first.acall(question=question)).answer + question
            return (await self.second.acall(draft=draft)).answer

        return dspy.Prediction(answers=await asyncio.gather(*(ask(f"{question}{n}") for n in range(6))))


def slow(request) -> str:
    """As real calls do, takes so long that all threads ask before the first one is answered."""
    time.sleep(0.002)
    return chat(reasoning=words(10), answer="sure") if prefill_of(request) is None else "guess"


def in_order(checkpoint: ad.Checkpoint) -> list[object]:
    return [dict(call.inputs) for call in checkpoint.calls]


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_a_fan_out_spends_its_budget_on_replay_as_it_did(threads):
    program = ad.Anytime(FanOut(threads), tuple(range(15, 125, 10)), answer_tokens=30)
    with dspy.context(lm=scripted_lm(slow)):
        *cut, whole = program(question="?").checkpoints
    for checkpoint in cut:
        same = checkpoint.budget // 10 + 1  # calls up to the one in which the budget falls
        assert in_order(checkpoint)[:same] == in_order(whole)[:same]
        assert checkpoint.reasoning_tokens == checkpoint.budget
        assert [call.reasoning_tokens for call in checkpoint.calls] == [*[10] * (same - 1), 5, *[0] * (12 - same)]


def test_a_fan_out_of_tasks_spends_its_budget_on_replay_as_live():
    program = ad.Anytime(FanOut(1), tuple(range(15, 125, 10)), answer_tokens=30)

    async def run() -> None:
        with dspy.context(lm=scripted_lm(slow)):
            for checkpoint in (await program.acall(question="?")).checkpoints:
                with ad.budget(checkpoint.budget, answer_tokens=30) as spent:
                    live = await program.program.acall(question="?")
                assert checkpoint.prediction.toDict() == live.toDict()
                same = checkpoint.budget // 10 + 1
                assert in_order(checkpoint)[:same] == [dict(call.inputs) for call in spent.calls[:same]]

    asyncio.run(run())


def test_a_part_that_is_bound_to_a_budget_of_its_own_is_run_at_every_budget():
    class Bound(dspy.Module):
        def __init__(self):
            super().__init__()
            self.draft = ad.Anytime(dspy.ChainOfThought("question -> answer"), (15,), answer_tokens=30).at(15)
            self.final = dspy.ChainOfThought("draft -> answer")

        def forward(self, question):
            return self.final(draft=self.draft(question=question).answer)

    def reply(request):
        begun = prefill_of(request)
        return chat(reasoning=words(20), answer="sure") if begun is None else f"guess after {begun.count('think')}"

    program = ad.Anytime(Bound(), (10, 20, 60), answer_tokens=30)
    with dspy.context(lm=scripted_lm(reply)):
        checkpoints = program(question="?").checkpoints
        for checkpoint in checkpoints:
            with ad.budget(checkpoint.budget, answer_tokens=30) as spent:
                live = program.program(question="?")
            assert checkpoint.prediction.toDict() == live.toDict()
            assert [call.reasoning_tokens for call in checkpoint.calls] == [c.reasoning_tokens for c in spent.calls]
    assert [[call.reasoning_tokens for call in c.calls] for c in checkpoints] == [[10, 0], [15, 5], [15, 20]]
