"""What is sent to each provider and what is read back, at a server on loopback and through both of DSPy's engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.formats import CHAT_STOPS
from anytime_dspy.calls.thinking import least_effort
from anytime_dspy.errors import ModelError
from anytime_dspy.testing import chat
from tests.fakes.http_server import TOKENS, ChatServer, Fault, Received, Reply

pytestmark = [
    pytest.mark.usefixtures("litellm_loop"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),  # pydantic says this of a type of litellm's
]

COT = dspy.ChainOfThought("question -> answer")
REASONING = " ".join(["so"] * 60)
THINKING = " ".join(["hm"] * 60)
BUDGET, ANSWER = 32, 24


@dataclass(frozen=True)
class Provider:
    """What is known of a model.

    Attributes:
        native_cap: The cap's name in requests of DSPy's own engine.
        litellm_cap: The same in litellm's.
        shown: The key under which it shows its thinking; None where it does not think.
        continues: Whether it goes on with a cut reply.
        priced: Whether DSPy's catalogue has its price.
    """

    native_cap: str = "max_tokens"
    litellm_cap: str = "max_tokens"
    shown: str | None = None
    continues: bool = False
    priced: bool = False


PROVIDERS = {
    "xai/grok-3": Provider(),
    "xai/grok-3-mini": Provider(shown="reasoning_content"),
    "openai/gpt-4.1": Provider(native_cap="max_completion_tokens", priced=True),
    "openai/gpt-4o": Provider(native_cap="max_completion_tokens", priced=True),
    "hosted_vllm/openai/gpt-oss-20b": Provider(shown="reasoning"),
    "hosted_vllm/meta-llama/Llama-3.3-70B-Instruct": Provider(continues=True),
}
CASES = [(model, engine) for model in PROVIDERS for engine in ("lm15", "litellm")]
ENGINES = ("lm15", "litellm")


def solver(model: str):
    """Returns a script in which this model reasons for 60 tokens, as it does, and can be asked for its answer."""
    shown = PROVIDERS[model].shown

    def script(received: Received) -> Reply:
        if received.prefill is not None:
            return Reply("7\n\n", cached=100)
        if "partial_reasoning" in received.prompt:
            return Reply(chat(answer="7"))
        if shown:
            return Reply(chat(reasoning="so", answer="8"), thinking=THINKING, shown=shown)
        return Reply(chat(reasoning=REASONING, answer="8"))

    return script


@contextmanager
def served(model: str, engine: str, script=None, **options: object) -> Iterator[tuple[ChatServer, dspy.LM]]:
    with ChatServer(script or solver(model)) as server:
        settings = {"cache": False, "num_retries": 0, **options}
        lm = dspy.LM(model, engine=engine, api_base=server.url, api_key="none", **settings)
        try:
            with dspy.context(lm=lm):
                yield server, lm
        finally:
            lm.close()


@pytest.mark.parametrize(("model", "engine"), CASES)
def test_a_call_sends_its_messages_and_its_cap_and_nothing_else(model, engine):
    provider = PROVIDERS[model]
    cap = provider.native_cap if engine == "lm15" else provider.litellm_cap
    with served(model, engine) as (server, _), ad.budget(BUDGET, answer_tokens=ANSWER):
        assert COT(question="?").answer == "7"
    first, forced = server.received
    assert first.path == forced.path == "/v1/chat/completions"
    assert first.body.keys() == {"model", "messages", cap}
    assert first.body["model"] == model.partition("/")[2]
    assert [message["role"] for message in first.body["messages"]] == ["system", "user"]
    assert (first.cap, forced.cap) == (BUDGET + ANSWER, ANSWER)
    own = {"stop", "add_generation_prompt", "continue_final_message"} if provider.continues else set()
    # litellm says that it wants one reply to a request of ours, and calls the cap by its newer name there.
    assert forced.body.keys() - own - {"n"} <= {"model", "messages", cap, "max_completion_tokens"}
    assert forced.body.get("n", 1) == 1


@pytest.mark.parametrize(("model", "engine"), CASES)
def test_a_forced_answer_is_shown_the_reasoning_that_fits(model, engine):
    provider = PROVIDERS[model]
    with served(model, engine) as (server, _), ad.budget(BUDGET, answer_tokens=ANSWER) as spent:
        COT(question="?")
    _, forced = server.received
    kept = " ".join(["hm" if provider.shown else "so"] * BUDGET)
    [call] = spent.calls
    assert call.reasoning == kept
    if provider.continues:
        assert forced.prefill == f"[[ ## reasoning ## ]]\n{kept}\n\n[[ ## answer ## ]]\n"
        assert forced.body["continue_final_message"] is True
        assert forced.body["add_generation_prompt"] is False
        assert forced.body["stop"] == list(CHAT_STOPS)
    else:
        assert forced.prefill is None
        assert f"[[ ## partial_reasoning ## ]]\n{kept}\n" in forced.prompt


@pytest.mark.parametrize(("model", "engine"), CASES)
def test_what_a_call_cost_is_read_back(model, engine):
    provider = PROVIDERS[model]
    with served(model, engine) as (server, _), ad.budget(BUDGET, answer_tokens=ANSWER) as spent:
        COT(question="?")
    usage = spent.usage
    assert usage.prompt_tokens == sum(TOKENS.count(received.prompt) for received in server.received)
    assert (usage.reasoning_tokens, usage.hidden_tokens, usage.calls) == (BUDGET, 0, 2)
    assert usage.reasoning_tokens + usage.answer_tokens <= server.billed <= BUDGET + 2 * ANSWER
    assert (spent.forced, spent.answered, spent.cut) == (True, True, True)
    assert (usage.dollars is not None) == provider.priced
    if provider.priced:
        assert usage.dollars > 0


@pytest.mark.parametrize(("model", "engine"), CASES)
def test_a_sweep_pays_for_one_trace_and_one_answer_a_cut(model, engine):
    with served(model, engine) as (server, _):
        few, more, all_of_it = ad.Anytime(COT, budgets=(16, 32, 128), answer_tokens=ANSWER)(question="?").checkpoints
    assert [c.prediction.answer for c in (few, more, all_of_it)] == ["7", "7", "8"]
    assert [c.reasoning_tokens for c in (few, more)] == [16, 32]
    assert all_of_it.reasoning_tokens >= 60
    assert [received.cap for received in server.received] == [128 + ANSWER, ANSWER, ANSWER]


@pytest.mark.parametrize("engine", ENGINES)
def test_options_of_the_user_are_sent_and_those_of_dspy_are_not(engine):
    options = {"temperature": 0.7, "seed": 5, "stop": ["STOP"]}
    with served("openai/gpt-4.1", engine, **options) as (server, _), ad.budget(BUDGET, answer_tokens=ANSWER):
        COT(question="?", config={"rollout_id": 3})
    first, forced = (received.body for received in server.received)
    assert {name: first[name] for name in options} == options
    assert {name: forced[name] for name in options} == {**options, "temperature": 0.0}
    assert "rollout_id" not in json.dumps([first, forced])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lower_cap_of_the_users_own_stays(engine):
    with served("openai/gpt-4o", engine, max_tokens=20) as (server, _), ad.budget(BUDGET, answer_tokens=ANSWER):
        COT(question="?")
    assert [received.cap for received in server.received] == [20, 20]


@pytest.mark.parametrize("engine", ENGINES)
def test_awaited_calls_send_the_same(engine):
    async def ask(lm: dspy.LM) -> None:
        with ad.budget(BUDGET, answer_tokens=ANSWER):
            await COT.acall(question="?")
        await lm.aclose()

    with served("openai/gpt-4o", engine) as (server, lm):
        asyncio.run(ask(lm))
        with ad.budget(BUDGET, answer_tokens=ANSWER):
            COT(question="?")
    awaited, called = server.received[:2], server.received[2:]
    assert [received.body for received in awaited] == [received.body for received in called]


def test_extra_fields_for_vllm_reach_both_of_its_requests():
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    model = "hosted_vllm/meta-llama/Llama-3.3-70B-Instruct"
    with served(model, "auto", extra_body=extra) as (server, _), ad.budget(BUDGET, answer_tokens=ANSWER):
        assert COT(question="?").answer == "7"
    assert [received.body.get("chat_template_kwargs") for received in server.received] == [*extra.values()] * 2


def hiding(received: Received) -> Reply:
    """A model of OpenAI's that thinks out of sight, and not at all with the least effort."""
    if received.body.get("reasoning_effort") in ("minimal", "none"):
        return Reply(chat(answer="7"))
    return Reply(chat(reasoning="so", answer="8"), thinking=THINKING, shown=None)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_of_hidden_thinking_is_refused_with_its_bill(engine):
    with served("openai/gpt-5-mini", engine, hiding) as (server, _):
        with pytest.raises(ModelError, match=r"openai/gpt-5-mini hides .* \(60 tokens.*contract.*paid for.*dollars"):
            ad.Anytime(COT, budgets=(16, 128))(question="?")
        assert len(server.received) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_contract_mode_caps_hidden_thinking_with_the_providers_own_knobs(engine):
    anytime = ad.Anytime(COT, budgets=(16, 128), answer_tokens=ANSWER, mode="contract")
    with served("openai/gpt-5-mini", engine, hiding) as (server, _):
        few, enough = anytime(question="?").checkpoints
    assert [received.body["max_completion_tokens"] for received in server.received] == [
        128 + ANSWER,
        16 + ANSWER,
        ANSWER,
    ]
    assert [received.body.get("reasoning_effort") for received in server.received] == [None, None, "minimal"]
    assert (few.prediction.answer, few.forced, few.reasoning_tokens) == ("7", True, 16)
    assert (enough.prediction.answer, enough.forced) == ("8", False)
    assert enough.reasoning_tokens >= 60


@pytest.mark.parametrize(("model", "effort"), [("gpt-5-mini", "minimal"), ("gpt-5.1", "none"), ("o3-mini", "low")])
def test_a_forced_answer_takes_the_least_effort_that_the_model_knows(model, effort):
    with served(f"openai/{model}", "lm15", hiding) as (server, _), ad.budget(16, answer_tokens=ANSWER):
        COT(question="?")
    assert server.received[-1].body["reasoning_effort"] == effort


@pytest.mark.parametrize("model", ["openai/gpt-4.1", "deepseek/deepseek-reasoner"])
def test_a_forced_answer_sets_no_model_thinking_that_did_not(model):
    with served(model, "litellm", solver("openai/gpt-4.1"), max_tokens=999) as (server, _), ad.budget(BUDGET):
        COT(question="?")
    assert len(server.received) == 2
    for received in server.received:
        assert received.body.keys() & {"thinking", "reasoning_effort", "reasoning"} == set()


def test_claude_is_forced_without_the_thinking_that_it_was_told_to_do():
    lm = dspy.LM("anthropic/claude-sonnet-4-5", reasoning_effort="high", api_key="none")
    assert least_effort(lm) == {"reasoning_effort": None}


def test_an_effort_of_none_is_not_sent():
    with served("openai/o3-mini", "lm15", hiding, reasoning_effort="high") as (server, lm):
        lm("?", reasoning_effort=None, max_completion_tokens=20)
        assert "reasoning_effort" not in server.received[0].body


def test_the_responses_api_is_capped_too():
    thought = {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-mini",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [{"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm, briefly"}]}],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 40,
            "total_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 40},
        },
    }
    reply = Fault(body=json.dumps(thought))
    scene = served("openai/gpt-5-mini", "lm15", lambda received: reply, model_type="responses")
    with scene as (server, _), ad.budget(16, answer_tokens=ANSWER) as spent:
        COT(question="?")
    assert [received.path for received in server.received] == ["/v1/responses"] * 2
    assert [received.body["max_output_tokens"] for received in server.received] == [16 + ANSWER, ANSWER]
    assert [received.body.get("reasoning") for received in server.received] == [None, {"effort": "minimal"}]
    assert (spent.reasoning, spent.usage.hidden_tokens) == (16, 40)


def test_what_a_provider_only_sums_up_is_refused_too():
    def summing_up(received: Received) -> Reply:
        return Reply(chat(answer="8"), thinking=THINKING)

    with served("xai/grok-3-mini", "lm15", summing_up) as (server, _):
        server.answer = _with_a_summary(server.answer)
        with pytest.raises(ModelError, match="only sums it up"):
            ad.Anytime(COT, budgets=(16, 128))(question="?")


def _with_a_summary(answer):
    def summed_up(path, body):
        sent = answer(path, body)
        return type(sent)(body=sent.body.replace(THINKING, "hm, briefly"))

    return summed_up
