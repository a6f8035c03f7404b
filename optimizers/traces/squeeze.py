"""Squeezing: shortens a good trace to the parts that its answer needs.

Sampled traces are as long as the model likes to write, so choosing among them does not teach brevity. A unit of a trace
(line, sentence, clause) is removed if the forced answer without it stays the same; this uses the machinery of a sweep,
a cut and a short call. The result is the model's own text, and a demonstration that fits into a small budget.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import dspy

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.anytime import Anytime
from anytime_dspy.budgets import middle
from anytime_dspy.calls import formats
from anytime_dspy.calls.markers import has_marker
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.optimizers.traces.trace_file import call_from, field_types
from anytime_dspy.optimizers.traces.units import WordsOf, shortest
from anytime_dspy.parallel import map_unordered
from anytime_dspy.runtime.context import budget
from anytime_dspy.runtime.forced_call import forced_call
from anytime_dspy.runtime.predictors import lm_of
from anytime_dspy.storage.jsonl import AnyFile, LineLog

__all__ = ["Keeps", "OnSqueezed", "SqueezedTrace", "Squeezing", "rank", "squeeze_traces"]

logger = logging.getLogger(__name__)

Keeps = Callable[[int, Mapping[str, Any], Mapping[str, Any]], bool]
"""Whether an answer to the training example of this index may be replaced by another one, which is at least as good."""

OnSqueezed = Callable[["SqueezedTrace"], None]


@dataclass(frozen=True)
class SqueezedTrace:
    """A trace reduced to the units that its answers need.

    Attributes:
        example_index: The index of the example in the training set.
        sample: The number of the original among the example's samples.
        style: The instruction style of the original.
        calls: The shortened calls.
        states_answer: The share of the answers' words that occur in the reasoning, in [0, 1].
        uses_input: The share of the inputs' distinguishing words that occur in the reasoning's working (see
            `WordsOf.working`), in [0, 1]. A word of the answer counts only if it occurs twice.
        earned: Whether the reasoning is needed: a forced answer without any reasoning is another one.
        brevity: 1 if the trace fits into the middle budget (the lower one of two), else that budget over its length.
        usage: The cost of the forced answers.
        substance: The number of different distinguishing words in the reasoning: the numbers of a calculation, or the
            rare words of a text. Examples with more steps have more of them.
        explained: The share of the numbers that the reasoning brings in, beside the input's, that it also works out, in
            [0, 1].
    """

    example_index: int
    sample: int
    style: str
    calls: tuple[Call, ...]
    states_answer: float
    uses_input: float
    earned: bool
    brevity: float
    usage: Usage = field(default_factory=Usage)
    substance: int = 0
    explained: float = 1.0

    @property
    def reasoning_tokens(self) -> int:
        """The reasoning tokens of all calls."""
        return sum(call.reasoning_tokens for call in self.calls)

    @property
    def merit(self) -> float:
        """The ranking score in [0, 1]: states_answer * uses_input * brevity, less if numbers or the need are missing.

        A trace that does not state its answer, or does not use its input, teaches the model to answer without
        reasoning; a trace longer than most budgets teaches it to write long traces. One whose numbers come from nowhere
        teaches it to guess, and counts half. One that is not needed counts 0.8: close to 1, because in experiments four
        short traces that were not needed beat four long ones that were.
        """
        explained = (1 + self.explained) / 2
        return self.states_answer * self.uses_input * self.brevity * explained * (1.0 if self.earned else 0.8)


@dataclass(frozen=True)
class Squeezing:
    """How traces are squeezed.

    Attributes:
        program: The program whose forced answers decide which units are needed.
        words: Finds the distinguishing words of an input.
        answer_key: Makes answers comparable.
        keeps: Whether another answer of the program may replace its own; by default one that is the same.
        threads: The number of traces squeezed concurrently.
    """

    program: Anytime
    words: WordsOf
    answer_key: AnswerKey = answer_text
    keeps: Keeps | None = None
    threads: int = 1

    def keeps_answer(self, trace: SampledTrace, call: Call, outputs: Mapping[str, Any]) -> bool:
        """Whether outputs may replace a call's own.

        Their quality can be measured only where the program returns them as they are.
        """
        last = trace.checkpoints[-1]
        if self.keeps is not None and len(last.calls) == 1 and dict(last.prediction.items()) == dict(call.outputs):
            return self.keeps(trace.example_index, call.outputs, outputs)
        return self._key(outputs) == self._key(call.outputs)

    def words_of_answer(self, outputs: Mapping[str, Any]) -> frozenset[str]:
        """Returns the words that identify the answer."""
        return WordsOf.of_answer(self._key(outputs) or "")

    def _key(self, outputs: Mapping[str, Any]) -> str | None:
        prediction = dspy.Prediction(**outputs)
        try:
            key = self.answer_key(prediction)
        except Exception:  # a task's own key reads the final answer, whose fields an inner call may lack
            key = None
        return key or answer_text(prediction)


def squeeze_traces(
    traces: Sequence[SampledTrace],
    squeezing: Squeezing,
    *,
    path: AnyFile | None = None,
    on_squeezed: OnSqueezed | None = None,
) -> list[SqueezedTrace]:
    """Squeezes traces at their largest budget, each call separately.

    Args:
        traces: Traces with good answers.
        squeezing: How to squeeze.
        path: A JSON Lines file that stores each squeezed trace when it is finished; traces in it are not squeezed
            again.
        on_squeezed: Called with each squeezed trace, those of the file included.

    Returns:
        Squeezed traces in the order of `rank`: by `merit`, then by length. Traces without text, or without an answer,
        are left out.

    Raises:
        AnytimeError: Every forced answer failed.
        RunError: The file holds something else, is damaged, or cannot be written.
    """
    read = partial(_read, types=field_types(squeezing.program))
    log = LineLog(path, {"holds": "squeezed traces"}, read, "squeezed trace") if path else None
    done = {(one.example_index, one.sample): one for one in (log.lines if log else ())}
    asked = {(trace.example_index, trace.sample) for trace in traces}
    for key, one in done.items():
        if on_squeezed and key in asked:
            on_squeezed(one)
    wanted = [trace for trace in traces if (trace.example_index, trace.sample) not in done]
    failures: list[Exception] = []
    for place, outcome in map_unordered(partial(_squeezed, squeezing), wanted, squeezing.threads):
        if isinstance(outcome, Exception):
            failures.append(outcome)
            logger.warning("A trace of training example %d was not squeezed: %s", wanted[place].example_index, outcome)
            continue
        done[outcome.example_index, outcome.sample] = outcome
        if log:
            log.append(outcome)
        if on_squeezed:
            on_squeezed(outcome)
    if failures and len(failures) == len(traces):
        raise AnytimeError(f"no trace could be squeezed ({failures[0]}): fix the LM, and compile again")
    return sorted((one for key, one in done.items() if key in asked and one.calls), key=rank)


def rank(squeezed: SqueezedTrace) -> tuple[float, int, int, int]:
    """Returns the sort key of squeezed traces, the best first."""
    return -round(squeezed.merit, 6), squeezed.reasoning_tokens, squeezed.example_index, squeezed.sample


def _squeezed(squeezing: Squeezing, trace: SampledTrace) -> SqueezedTrace | Exception:
    program = squeezing.program
    predictors = dict(program.named_predictors())
    # An outer budget that no run can exhaust counts what was really spent, without stored answers.
    with budget(1, answer_tokens=program.answer_tokens) as spent:
        try:
            calls = [
                _shortened(squeezing, predictors[call.predictor], trace, call)
                for call in trace.checkpoints[-1].calls
                if call.predictor in predictors
            ]
        except AnytimeError:
            raise
        except Exception as error:  # an LM error must not lose the traces that are already paid for
            return error
    made = [one for one in calls if one is not None]
    reasoned = "\n".join(one.call.reasoning for one in made)
    working = "\n".join(WordsOf.working(one.call.reasoning, one.call.inputs) for one in made)
    inputs = frozenset().union(*(squeezing.words.in_inputs(one.call.inputs) for one in made))
    answers = frozenset().union(*(squeezing.words_of_answer(one.call.outputs) for one in made))
    tokens = sum(one.call.reasoning_tokens for one in made)
    return SqueezedTrace(
        example_index=trace.example_index,
        sample=trace.sample,
        style=trace.style,
        calls=tuple(one.call for one in made),
        states_answer=WordsOf.share(answers, reasoned),
        uses_input=WordsOf.share(inputs, working, beside=answers),
        earned=any(one.earned for one in made),
        brevity=min(1.0, middle(program.budgets) / max(1, tokens)),
        usage=spent.usage,
        substance=len(squeezing.words.in_text(reasoned)),
        explained=min((WordsOf.explained(one.call.reasoning, one.call.inputs) for one in made), default=1.0),
    )


@dataclass(frozen=True)
class _Shortened:
    """A squeezed call, and whether its answer needs the reasoning."""

    call: Call
    earned: bool


def _shortened(squeezing: Squeezing, predictor: dspy.Predict, trace: SampledTrace, call: Call) -> _Shortened | None:
    """Squeezes one call of a trace; None if it has no reasoning to show."""
    texts = [call.reasoning, *map(str, call.outputs.values())]
    if not call.answered or not call.reasoning.strip() or any(has_marker(text) for text in texts):
        return None
    if not formats.reasoning_fields(predictor.signature):
        return None
    answered: dict[str, Call] = {}
    words, answer = squeezing.words.in_inputs(call.inputs), squeezing.words_of_answer(call.outputs)
    whole = call.reasoning
    if WordsOf.share(answer, whole) < 1:
        # Small models also reason in the answer itself: "46 * 4 = 184" is a good trace.
        answers = (call.outputs[name] for name in formats.answer_fields(predictor.signature))
        whole = "\n".join([whole, *(text for text in answers if isinstance(text, str))])

    def says(text: str) -> tuple[float, float]:
        return WordsOf.share(words, WordsOf.working(text, call.inputs)), WordsOf.share(answer, text)

    said = says(whole)
    unexplained = WordsOf.unexplained(whole, call.inputs)

    def keeps(text: str) -> bool:
        if text and says(text) != said:
            return False  # the answer may stay the same, but such a trace teaches to work in the answer instead
        if not WordsOf.unexplained(text, call.inputs) <= unexplained:
            return False  # what the model can do in its head now, it cannot do with larger numbers
        made = forced_call(
            predictor,
            call.inputs,
            text,
            name=call.predictor,
            answer_tokens=squeezing.program.answer_tokens,
        )
        answered[text] = made
        return made.answered and squeezing.keeps_answer(trace, call, made.outputs)

    earned = not keeps("")
    text = shortest(whole, keeps, words)
    # Nothing could be removed, and even the whole text does not give the answer.
    if text not in answered and not keeps(text):
        return None
    tokens = counter_for(lm_of(predictor)).count(text)
    return _Shortened(replace(answered[text], reasoning_tokens=tokens), earned)


def _read(line: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> SqueezedTrace:
    calls = tuple(call_from(call, types) for call in line["calls"])
    return SqueezedTrace(**{**line, "calls": calls, "usage": Usage(**line["usage"])})
