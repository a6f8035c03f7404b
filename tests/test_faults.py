"""What goes wrong between here and a provider ends in an answer or in an error, and never in a quality of 0."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, ModelError
from anytime_dspy.measure import sweep
from anytime_dspy.testing import chat, scripted_lm
from tests.fakes.http_server import ChatServer, Fault, Received, Reply

pytestmark = [
    pytest.mark.usefixtures("litellm_loop"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),  # pydantic says this of a type of litellm's
]

COT = dspy.ChainOfThought("question -> answer")
ANSWER_TOKENS = 24
DROPPED = json.dumps({"choices": [{"message": {"content": "a reply that is cut off on its way"}}]})
FAULTS = {
    "429": Fault(429, headers={"Retry-After": "0.01"}),
    "500": Fault(500),
    "drop": Fault(body=DROPPED, drop=True),
    "stall": Fault(stall=30.0),
    "malformed": Fault(body="<html>502 Bad Gateway</html>"),
}
# What DSPy's retries are for; a reply that is no JSON is not among it in its own engine.
PASSING = ("429", "500", "drop", "stall")


def solve(received: Received) -> Reply:
    if "partial_reasoning" in received.prompt or "[[ ## reasoning ## ]]" not in received.prompt:
        return Reply(chat(answer="7"))
    return Reply(chat(reasoning=" ".join(["so"] * 60), answer="8"))


def first(reply: Reply | Fault, times: int = 1) -> Callable[[Received], Reply | Fault]:
    """Returns a script that replies so at first, and then as it should."""
    left = iter([reply] * times)
    return lambda received: next(left, None) or solve(received)


@contextmanager
def served(script: Callable[[Received], Reply | Fault], **options: object) -> Iterator[ChatServer]:
    with ChatServer(script) as server:
        settings = {"engine": "lm15", "num_retries": 3, "timeout": 0.3, **options}
        lm = dspy.LM("openai/gpt-4o", api_base=server.url, api_key="none", cache=False, **settings)
        try:
            with dspy.context(lm=lm):
                yield server
        finally:
            lm.close()


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("engine", ["lm15", "litellm"])
@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_costs_no_budget(fault, engine):
    options = {"engine": engine, "timeout": 0.3 if fault == "stall" else 5.0}
    with served(first(FAULTS[fault]), **options) as server, ad.budget(16, answer_tokens=ANSWER_TOKENS) as spent:
        assert COT(question="?").answer == "7"
    assert len(server.received) == 3
    assert (spent.reasoning, spent.usage.calls) == (16, 2)
    assert server.billed <= 16 + 2 * ANSWER_TOKENS


@pytest.mark.parametrize("engine", ["lm15", "litellm"])
def test_a_server_that_says_when_to_come_back_is_not_asked_before(engine, impatience):
    busy = Fault(429, headers={"Retry-After": "7"})
    with served(first(busy, times=2), engine=engine, timeout=5.0) as server, ad.budget(16, answer_tokens=ANSWER_TOKENS):
        assert COT(question="?").answer == "7"
    assert len(server.received) == 4  # refused twice, then the trace and its forced answer
    assert [seconds >= 7 for seconds in impatience] == [True, True]


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("engine", ["lm15", "litellm"])
@pytest.mark.parametrize("fault", [*PASSING, "malformed"])
def test_a_fault_that_stays_is_the_lms_own_error_and_nothing_is_spent(fault, engine):
    options = {"engine": engine, "num_retries": 1, "timeout": 0.3 if fault == "stall" else 5.0}
    scene = served(lambda received: FAULTS[fault], **options)
    with scene as server, ad.budget(16) as spent, pytest.raises(dspy.utils.exceptions.LMError):
        COT(question="?")
    assert 1 <= len(server.received) <= 2
    assert (spent.reasoning, spent.usage.calls, spent.calls) == (0, 0, ())


@pytest.mark.parametrize("engine", ["lm15", "litellm"])
def test_an_empty_answer_is_asked_for_again(engine):
    with served(first(Reply("")), engine=engine, timeout=5.0), ad.budget(16, answer_tokens=ANSWER_TOKENS) as spent:
        assert COT(question="?").answer == "7"
    assert (spent.forced, spent.answered, spent.reasoning) == (True, True, 0)


@pytest.mark.parametrize("engine", ["lm15", "litellm"])
def test_a_cap_that_was_reached_before_the_first_word_is_charged(engine):
    empty = Reply("", thinking=" ".join(["hm"] * 200), shown=None)
    scene = served(first(empty), engine=engine, timeout=5.0)
    with scene as server, ad.budget(16, answer_tokens=ANSWER_TOKENS) as spent:
        assert COT(question="?").answer == "7"
    assert (spent.forced, spent.answered, spent.reasoning) == (True, True, 16)
    assert server.billed <= 16 + 2 * ANSWER_TOKENS


@pytest.mark.usefixtures("impatience")
@pytest.mark.slow
def test_a_sweep_survives_a_provider_that_fails_three_calls_in_ten():
    chance = random.Random(1)
    kinds = [*FAULTS.values(), Reply("")]
    unanswered: set[str] = set()

    def shaky(received: Received) -> Reply | Fault:
        reply = chance.choice(kinds) if chance.random() < 0.3 else solve(received)
        if isinstance(reply, Reply) and not reply.text:
            unanswered.update(re.findall(r"question \d+\?", received.prompt))
        return reply

    budgets = (16, 32, 128)
    anytime = ad.Anytime(COT, budgets=budgets, answer_tokens=ANSWER_TOKENS)
    examples = [dspy.Example(id=f"e{i}", question=f"question {i}?").with_inputs("question") for i in range(100)]
    metric = ad.AnytimeIndex(lambda example, prediction: float(prediction.answer in ("7", "8")))
    with served(shaky, timeout=1.0) as server:
        results = sweep(anytime, examples, metric, threads=8)

    assert [result.id for result in results] == [example.id for example in examples]
    failed = [result for result in results if result.error]
    ended = [result for result in results if not result.error]
    assert len(failed) + len(ended) == 100
    assert 0 < len(failed) < 40  # replies that were no JSON, which DSPy does not ask for again
    for result in failed:
        assert not result.points
        assert result.error.startswith(
            ("LMProviderError: ", "LMServerError: ", "LMTransportError: ", "LMRateLimitError: ")
        )
    for result in ended:
        assert [point.budget for point in result.points] == list(budgets)
        # Only an LM that says nothing, and nothing again when asked for its answer alone, is worth nothing.
        assert all(point.quality == 1.0 for point in result.points) or result.inputs["question"] in unanswered
        assert all(point.usage.reasoning_tokens <= point.budget for point in result.points)
    # Each example is at most one trace and an answer for each of three cuts.
    assert server.billed <= 100 * (budgets[-1] + 4 * ANSWER_TOKENS)


def test_an_outage_is_no_zero_and_one_of_all_examples_is_an_error():
    anytime = ad.Anytime(COT, budgets=(16,), answer_tokens=ANSWER_TOKENS)
    examples = [dspy.Example(question=str(i)).with_inputs("question") for i in range(3)]
    metric = ad.AnytimeIndex(lambda example, prediction: 1.0)
    refused = pytest.raises(AnytimeError, match="all 3 examples failed; the first said: LMServerError")
    with served(lambda received: Fault(500), num_retries=0), refused:
        sweep(anytime, examples, metric)


def test_an_lm_that_cannot_be_capped_is_refused_before_any_call():
    lm = scripted_lm(lambda request: chat(reasoning="so", answer="8"))
    lm.engine.supported_params = frozenset({"temperature"})
    anytime = ad.Anytime(COT, budgets=(16,))
    with dspy.context(lm=lm):
        with pytest.raises(ModelError, match="takes no max_tokens"), ad.budget(16):
            COT(question="?")
        with pytest.raises(ModelError, match="takes no max_tokens"):
            anytime(question="?")
    assert not lm.engine.requests
