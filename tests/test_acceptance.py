"""Models that refuse what a call sends: it is learned from the first refusal, said once, and gone on without."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.acceptance import acceptance
from anytime_dspy.calls.formats import CHAT_STOPS
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import LEAP, PDP, SelfConsistency
from anytime_dspy.optimizers.judges.probabilities import Asked, ask
from anytime_dspy.testing import chat
from tests.fakes import refusing as opinions
from tests.fakes.http_server import TOKENS, ChatServer, Fault, Received, Reply
from tests.fakes.refusing import refusing

pytestmark = [
    pytest.mark.usefixtures("litellm_loop"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
]

COT = dspy.ChainOfThought("question -> answer")
ENGINES = ("lm15", "litellm")
ANSWER = 24
VLLM = "hosted_vllm/meta-llama/Llama-3.3-70B-Instruct"


def is_answer_alone(received: Received) -> bool:
    return "starting with the field `[[ ## reasoning ## ]]`" not in received.prompt


def solve(received: Received) -> Reply:
    if received.prefill is not None:
        return Reply("7\n\n")
    if is_answer_alone(received):
        return Reply(chat(answer="7"))
    return Reply(chat(reasoning=" ".join(["so"] * 60), answer="8"))


@contextmanager
def served(
    model: str, script: Callable[[Received], Reply | Fault], engine: str = "lm15", **options: object
) -> Iterator[tuple[ChatServer, dspy.LM]]:
    with ChatServer(script) as server:
        settings = {"cache": False, "num_retries": 0, **options}
        lm = dspy.LM(model, engine=engine, api_base=server.url, api_key="none", **settings)
        try:
            with dspy.context(lm=lm):
                yield server, lm
        finally:
            lm.close()


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns what was said of refusals so far."""
    caplog.set_level(logging.WARNING, "anytime_dspy.calls.acceptance")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "anytime_dspy.calls.acceptance"]


def temperatures(server: ChatServer) -> list[float | None]:
    return [received.body.get("temperature") for received in server.received]


@pytest.mark.parametrize("model", ["openai/o3", "openai/gpt-5-mini", "openai/gpt-4.1"])
def test_a_temperature_that_a_model_refuses_is_not_sent(model, notes):
    script = refusing(solve, opinions.temperature)
    with served(model, script, temperature=0.0) as (server, _):
        for question in ("one?", "two?"):
            few, enough = ad.Anytime(COT, budgets=(16, 128), answer_tokens=ANSWER)(question=question).checkpoints
            assert (few.prediction.answer, enough.prediction.answer) == ("7", "8")
            assert enough.usage.calls == 1
    assert temperatures(server) == [0.0, None, None, None, None]  # refused once, and never sent again
    [note] = notes()
    assert note.startswith(f"{model} refuses temperature=0.0")


def test_what_litellm_knows_that_a_model_refuses_is_not_sent(notes):
    with served("openai/o3", solve, "litellm", temperature=0.0) as (server, _):
        assert ad.Anytime(COT, budgets=(16, 128), answer_tokens=ANSWER)(question="?").answer == "8"
    assert temperatures(server) == [None, None]
    assert len(notes()) == 1


def test_a_temperature_that_a_model_takes_is_sent_though_it_refuses_others(notes):
    script = refusing(solve, opinions.temperature)
    with served("openai/gpt-4.1", script, temperature=1.0) as (server, _), ad.budget(16, answer_tokens=ANSWER):
        assert COT(question="?").answer == "7"
        assert COT(question="?").answer == "7"
    # The second forced answer is not made greedy: that was refused, and the user's own temperature was not.
    assert temperatures(server) == [1.0, 0.0, None, 1.0]
    assert len(notes()) == 1


def test_awaited_calls_go_on_without_too():
    async def ask_twice(lm: dspy.LM) -> None:
        with ad.budget(16, answer_tokens=12):
            await COT.acall(question="?")
        await lm.aclose()

    script = refusing(solve, opinions.temperature, opinions.short_caps, opinions.stop)
    with served("openai/gpt-4.1", script, temperature=0.0, stop="X") as (server, lm):
        asyncio.run(ask_twice(lm))
        served_well = [received for received in server.received if received.billed]
    assert len(served_well) == 2
    assert len(server.received) == 5


def test_many_threads_say_once_what_is_refused(notes):
    script = refusing(solve, opinions.temperature, opinions.short_caps, opinions.stop)
    examples = [dspy.Example(question=f"{place}?").with_inputs("question") for place in range(12)]
    anytime = ad.Anytime(COT, budgets=(4, 128), answer_tokens=12)
    with served("openai/gpt-4.1", script, temperature=0.0, stop=["X"]) as (server, _):
        results = sweep(anytime, examples, ad.AnytimeIndex(lambda example, prediction: 1.0), threads=6)
    assert not any(result.error for result in results)
    assert len(notes()) == 3
    refused = [received for received in server.received if not received.billed]
    assert len(refused) <= 3 * 6  # no thread is refused the same thing twice
    assert len(server.received) - len(refused) == 24


@pytest.mark.parametrize("engine", ENGINES)
def test_any_other_error_is_raised_and_not_tried_again(engine, notes):
    script = refusing(solve, lambda received: opinions.refused("Unsupported parameter: 'top_p' is not supported."))
    with served("openai/gpt-4.1", script, engine, temperature=0.0, top_p=0.5) as (server, _):
        with ad.budget(16) as spent, pytest.raises(dspy.LMInvalidRequestError, match="top_p"):
            COT(question="?")
        assert len(server.received) == 1
    assert (notes(), spent.usage.calls) == ([], 0)


def test_a_refusal_that_stays_is_raised():
    """A server that refuses what is no longer sent is refusing something else."""
    script = refusing(solve, lambda received: opinions.refused("'temperature' is not supported with this model."))
    with served("openai/gpt-4.1", script, temperature=0.0) as (server, _):
        with ad.budget(16), pytest.raises(dspy.LMInvalidRequestError, match="temperature"):
            COT(question="?")
        assert temperatures(server) == [0.0, None]


def test_stop_strings_that_a_model_refuses_are_not_sent(notes):
    script = refusing(solve, opinions.stop)
    with served(VLLM, script) as (server, _), ad.budget(16, answer_tokens=ANSWER):
        assert COT(question="?").answer == "7"
    first, refused, forced = server.received
    assert refused.body["stop"] == list(CHAT_STOPS)
    assert "stop" not in forced.body
    assert forced.prefill == refused.prefill
    assert "stop" not in first.body
    assert len(notes()) == 1


def test_a_server_that_deletes_thinking_from_a_message_is_shown_it_anew(notes):
    def thinking(received: Received) -> Reply:
        if is_answer_alone(received):
            return Reply(chat(answer="7"))
        return Reply(f"<think>\n{' '.join(['hm'] * 60)}\n</think>\n\n{chat(reasoning='so', answer='8')}")

    script = refusing(thinking, opinions.continued_thinking)
    with served(VLLM, script) as (server, _):  # litellm takes the thinking out of the text itself
        for question in ("one?", "two?"):
            few, enough = ad.Anytime(COT, budgets=(16, 128), answer_tokens=ANSWER)(question=question).checkpoints
            assert (few.prediction.answer, enough.prediction.answer) == ("7", "8")
            assert few.calls[0].reasoning == " ".join(["hm"] * 16)
    whole, refused, restated, other, other_restated = server.received
    assert "<think>" in refused.prefill
    assert [received.prefill for received in (whole, restated, other, other_restated)] == [None] * 4
    assert "[[ ## partial_reasoning ## ]]" in restated.prompt
    assert len(notes()) == 1


def test_a_refusal_to_go_on_that_reaches_us_without_its_words_is_one_too():
    """DSPy's own engine reads no message in the errors of older vLLM, which have no envelope."""

    def wordless(received: Received) -> Fault | None:
        return received.prefill and Fault(400, '{"object": "error", "message": "continue_final_message is set but"}')

    with served(VLLM, refusing(solve, wordless)) as (server, _), ad.budget(16, answer_tokens=ANSWER):
        assert COT(question="?").answer == "7"
    assert len(server.received) == 3


def test_a_stream_goes_on_where_a_message_cannot_be_continued():
    with served(VLLM, refusing(solve, opinions.prefill)) as (server, _):
        stream = ad.Anytime(COT, budgets=(16, 128), answer_tokens=ANSWER).stream(question="?")
        assert [checkpoint.prediction.answer for checkpoint in stream] == ["7", "8"]
    assert sum(received.prefill is not None for received in server.received) == 1


def thinker(received: Received) -> Reply:
    if is_answer_alone(received):
        return Reply(chat(answer="7"))
    return Reply(chat(reasoning="so", answer="8"), thinking=" ".join(["hm"] * 60))


class Twice(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.ChainOfThought("question -> answer")
        self.second = dspy.ChainOfThought("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        self.first(question=question)
        return self.second(question=question)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_thinking_lm_keeps_its_users_temperature_where_nothing_was_written_yet(engine):
    with served("xai/grok-3-mini", thinker, engine, temperature=1.0) as (server, _), ad.budget(8, answer_tokens=ANSWER):
        assert Twice()(question="?").answer == "7"
    assert len(server.received) == 3  # the second predictor has nothing left to reason with
    assert temperatures(server) == [1.0, 1.0, 1.0]


def test_an_lm_that_may_think_keeps_it_even_at_its_first_call():
    """Claude refuses any temperature but 1 where it thinks; whether it does is not seen before it writes."""
    with ChatServer(solve) as server:
        first = dspy.LM("openai/gpt-4.1", api_base=server.url, api_key="none", cache=False)
        second = dspy.LM(
            "openrouter/deepseek/deepseek-r1", api_base=server.url, api_key="none", cache=False, temperature=1.0
        )
        program = Twice()
        program.first.set_lm(first)
        program.second.set_lm(second)
        assert second.supports_reasoning
        with ad.budget(8, answer_tokens=ANSWER):
            assert program(question="?").answer == "7"
        first.close()
        second.close()
    assert server.received[-1].body["temperature"] == 1.0


LEAST_CAPS = [("openai/gpt-5-mini", {"model_type": "responses"}), ("openai/gpt-4o", {})]


@pytest.mark.parametrize(("model", "options"), LEAST_CAPS)
def test_a_cap_below_a_providers_least_is_raised_and_its_answer_cut_to_its_allowance(model, options, notes):
    long = " ".join(["seven"] * 40)

    def rambling(received: Received) -> Reply:
        return Reply(chat(answer=long)) if is_answer_alone(received) else solve(received)

    scene = served(model, refusing(rambling, opinions.short_caps), **options)
    with scene as (server, _), ad.budget(40, answer_tokens=12) as spent:
        answer = COT(question="?").answer
        COT(question="?")
    first, refused, forced, later = server.received
    assert [received.cap for received in (first, refused, forced, later)] == [52, 12, 16, 16]
    assert TOKENS.count(f"[[ ## answer ## ]]\n{answer}") <= 12
    assert forced.billed == 16
    # What was billed is what is charged: reasoning never beyond its budget, the rest in the answers' column.
    assert spent.reasoning == 40
    assert spent.usage.reasoning_tokens + spent.usage.answer_tokens == server.billed
    [note] = notes()
    assert "no cap under 16 tokens" in note


def test_a_message_under_a_raised_cap_counts_what_was_billed():
    def rambling(received: Received) -> Reply:
        return Reply(chat(answer="seven " * 40)) if is_answer_alone(received) else solve(received)

    with served("openai/gpt-4o", refusing(rambling, opinions.short_caps)) as (server, _):
        with ad.budget(2, answer_tokens=8) as spent:
            COT(question="?")
        message, forced = [received for received in server.received if received.billed]
    assert [message.cap, forced.cap] == [16, 16]
    assert spent.reasoning == 2
    assert spent.usage.reasoning_tokens + spent.usage.answer_tokens == server.billed
    assert spent.calls[0].reasoning == "so so"[: len(spent.calls[0].reasoning)]


def test_the_confidence_judge_gets_its_log_probabilities_under_a_least_cap(notes):
    said = Reply(" ".join(["Yes"] * 40), logprobs={"Yes": -0.1, "No": -3.0})
    script = refusing(lambda received: said, opinions.short_caps)
    with served("openai/gpt-4.1", script, model_type="responses") as (server, lm):
        answers = [ask(lm, Asked("2 + 2?", answer)) for answer in ("4", "5")]
    assert [received.cap for received in server.received] == [4, 16, 16]
    for answer in answers:
        assert answer.refusal is None
        assert answer.probability == pytest.approx(0.95, abs=0.01)
        assert answer.usage.answer_tokens == 16
    assert len(notes()) == 1


def test_an_lm_that_gives_no_log_probabilities_still_says_so():
    script = refusing(solve, lambda received: opinions.refused("This model does not support logprobs."))
    with served("openai/gpt-4.1", script) as (server, lm):
        assert "gives no log-probabilities" in ask(lm, Asked("2 + 2?", "4")).refusal
    assert len(server.received) == 1


class OSeries:
    """A model that takes no temperature but 1, reasons at length or briefly, and answers right where it was brief."""

    def __init__(self) -> None:
        self.traces = 0

    def __call__(self, received: Received) -> Reply:
        asked = received.prompt
        if "[[ ## principle ## ]]" in asked:
            return Reply(chat(principle="Add the numbers before anything else."))
        if "[[ ## principles ## ]]" in asked:
            return Reply(chat(principles="- Add the numbers before anything else."))
        if "[[ ## better ## ]]" in asked:
            first = asked.split("[[ ## candidate_a ## ]]")[-1].split("[[")[0]
            return Reply(chat(better="A" if "seven" in first else "B"))
        if is_answer_alone(received):
            return Reply(chat(answer="eight"))
        self.traces += 1
        is_brief = self.traces % 3 > 0
        return Reply(chat(reasoning="so " * (3 if is_brief else 40), answer="seven" if is_brief else "eight"))


def right(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    return float(getattr(prediction, "answer", None) == example.answer)


@pytest.mark.parametrize("method", ["PDP", "LEAP", "SelfConsistency"])
def test_optimisers_at_their_defaults_work_on_models_that_refuse_temperature(method, notes):
    examples = [dspy.Example(question=f"{n}?", answer="seven").with_inputs("question") for n in range(2)]
    student = ad.Anytime(COT, budgets=(8, 64), answer_tokens=ANSWER)
    with served("openai/o3", refusing(OSeries(), opinions.temperature), temperature=0.0) as (server, _):
        if method == "SelfConsistency":
            voting = ad.Anytime(SelfConsistency(COT), budgets=(64, 320), answer_tokens=ANSWER, mode="contract")
            assert voting(question="?").answer in ("seven", "eight")
        else:
            metric = ad.AnytimeIndex(right)
            optimiser = {"PDP": partial(PDP, trials=0), "LEAP": LEAP}[method](metric=metric)
            compiled = optimiser.compile(student, trainset=examples)
            instructions = compiled.predictors()[0].signature.instructions
            assert compiled.predictors()[0].demos or "Add the numbers" in instructions
    refused = [received for received in server.received if not received.billed]
    assert len(refused) <= 2  # the LM's own temperature, and the one that samples are drawn at
    assert len(notes()) == 1


def test_samples_of_an_lm_of_ones_own_are_refused_a_temperature_once(notes):
    """Each sample runs a copy of the program, and of the LM that was set in it."""
    with served("openai/o3", refusing(OSeries(), opinions.temperature)) as (server, lm):
        program = dspy.ChainOfThought("question -> answer")
        program.set_lm(lm)
        with dspy.context(lm=None), ad.budget(320, answer_tokens=ANSWER):
            SelfConsistency(program)(question="?")
    assert temperatures(server).count(0.7) == 1
    assert len(notes()) == 1


def test_what_is_known_of_an_lm_is_its_own():
    one, other = (dspy.LM("openai/gpt-4.1", api_key="none") for _ in range(2))
    acceptance(one).prefills = False
    assert acceptance(other).prefills
    assert not acceptance(one.copy(temperature=0.3)).prefills
    assert acceptance(one.copy(model="openai/gpt-4o")).prefills
    assert acceptance(one.copy(api_base="http://127.0.0.1:1/v1")).prefills
    program = dspy.Predict("question -> answer")
    program.set_lm(one)
    assert acceptance(program.deepcopy().lm) is acceptance(one)
    assert b"anytime_dspy" not in pickle.dumps(one).replace(b"_anytime_acceptance", b"")
    assert acceptance(pickle.loads(pickle.dumps(one))).prefills
    assert "acceptance" not in str(one.dump_state())
