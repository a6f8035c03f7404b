"""What OpenTelemetry's current span is told; with its own SDK and in-memory exporter."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.testing import chat, prefill_of, scripted_lm, words

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed: pip install opentelemetry-sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

BUDGETS = (8, 16, 64)
PROGRAM = dspy.ChainOfThought("question -> answer")


def solver(request) -> str:
    """Thinks 40 words; an answer that is asked for earlier has one word."""
    return chat(reasoning=words(40), answer="sure") if prefill_of(request) is None else "early"


class Spans:
    """Opens spans, and shows what they were told once they have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("tests")

    def __call__(self, name: str):
        return self.tracer.start_as_current_span(name)

    def __getitem__(self, name: str) -> dict:
        [span] = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return dict(span.attributes)


@pytest.fixture
def spans() -> Spans:
    return Spans()


def test_a_budget_is_noted_on_the_span_around_it(spans):
    with dspy.context(lm=scripted_lm(solver)):
        with spans("capped"), ad.budget(16) as spent:
            PROGRAM(question="?")
        with spans("enough"), ad.budget(64):
            PROGRAM(question="?")
    capped = spans["capped"]
    assert capped["anytime.budget.tokens"] == 16
    assert capped["anytime.checkpoint.forced"] is True
    assert capped["anytime.answered"] is True
    assert capped["gen_ai.usage.input_tokens"] == spent.usage.prompt_tokens > 0
    assert capped["gen_ai.usage.reasoning.output_tokens"] == 16
    assert capped["gen_ai.usage.output_tokens"] == 16 + spent.usage.answer_tokens
    assert spans["enough"]["anytime.checkpoint.forced"] is False
    assert spans["enough"]["gen_ai.usage.reasoning.output_tokens"] == 40


def test_the_names_of_the_token_counts_are_the_conventions_own(spans):
    names = pytest.importorskip(
        "opentelemetry.semconv._incubating.attributes.gen_ai_attributes", reason="the conventions are not installed"
    )
    with dspy.context(lm=scripted_lm(solver)), spans("capped"), ad.budget(16):
        PROGRAM(question="?")
    assert {name for name in spans["capped"] if name.startswith("gen_ai")} == {
        names.GEN_AI_USAGE_INPUT_TOKENS,
        names.GEN_AI_USAGE_OUTPUT_TOKENS,
        names.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    }


@pytest.mark.parametrize("way", ["call", "acall", "stream"])
def test_a_run_at_many_budgets_notes_its_best_answer_and_all_that_was_paid(spans, way):
    anytime = ad.Anytime(PROGRAM, BUDGETS, answer_tokens=20)
    with dspy.context(lm=scripted_lm(solver)), ad.budget(1000) as outer, spans("run"):
        if way == "call":
            reached = anytime(question="?").checkpoints
        elif way == "acall":
            reached = asyncio.run(anytime.acall(question="?")).checkpoints
        else:
            reached = list(anytime.stream(question="?"))
    run, paid = spans["run"], outer.usage
    assert run["anytime.budget.tokens"] == 64
    assert run["anytime.checkpoint.forced"] is reached[-1].forced
    assert run["anytime.answered"] is True
    assert run["gen_ai.usage.input_tokens"] == paid.prompt_tokens
    assert run["gen_ai.usage.output_tokens"] == paid.reasoning_tokens + paid.answer_tokens
    assert run["gen_ai.usage.reasoning.output_tokens"] == paid.reasoning_tokens
    assert run["gen_ai.usage.input_tokens"] > reached[-1].usage.prompt_tokens  # earlier answers were paid for, too


def test_a_stream_that_is_left_has_noted_how_far_it_came(spans):
    anytime = ad.Anytime(PROGRAM, BUDGETS, answer_tokens=20)
    with dspy.context(lm=scripted_lm(solver)), spans("run"):
        stream = anytime.stream(question="?")
        next(stream)
        next(stream)
        stream.close()
    assert spans["run"]["anytime.budget.tokens"] == 16
    assert spans["run"]["anytime.checkpoint.forced"] is True


def test_an_answer_that_cannot_be_read_is_noted_as_none(spans):
    lm = scripted_lm(lambda request: chat(reasoning=words(40), count="?") if prefill_of(request) is None else "many")
    with dspy.context(lm=lm), spans("run"):
        ad.Anytime(dspy.ChainOfThought("question -> count: int"), (16,)).at(16)(question="?")
    assert spans["run"]["anytime.answered"] is False


def test_a_span_around_a_sweep_is_told_of_no_single_run_and_one_of_its_own_is(spans):
    class Traced(ad.Anytime):
        def forward(self, **inputs):
            with spans(inputs["question"]):
                return super().forward(**inputs)

    examples = [dspy.Example(question=f"{n} ?").with_inputs("question") for n in range(3)]
    metric = ad.AnytimeIndex(lambda example, prediction: 1.0)
    with dspy.context(lm=scripted_lm(solver)):
        with spans("sweep"):
            sweep(ad.Anytime(PROGRAM, BUDGETS), examples, metric, threads=2)
        with spans("traced sweep"):
            sweep(Traced(PROGRAM, BUDGETS), examples, metric, threads=2)
    assert spans["sweep"] == spans["traced sweep"] == {}
    assert [spans[f"{n} ?"]["anytime.budget.tokens"] for n in range(3)] == [64] * 3


def test_where_nobody_uses_opentelemetry_it_is_not_imported():
    code = (
        "import sys, dspy, anytime_dspy as ad, anytime_dspy.measure, anytime_dspy.runtime.context\n"
        "print([name for name in ('opentelemetry', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
