"""Squeezing: what is left of a good trace when everything goes that its answer does not need.

A sampled trace is as long as the model rambles, and choosing among such traces teaches no brevity. A unit of a trace
(line, sentence, clause) is left out if the answer that the program is then forced to give is still the same; that is
the machinery of a sweep, a cut and a short call. What remains is the model's own text, and a demonstration that fits
into a small budget.
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
from anytime_dspy.calls import formats
from anytime_dspy.calls.markers import has_marker
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.optimizers.traces.trace_file import call_from, field_types
from anytime_dspy.optimizers.traces.units import WordsOf, shortest
from anytime_dspy.parallel import finished
from anytime_dspy.runtime.context import budget
from anytime_dspy.runtime.forced_call import forced_call
from anytime_dspy.storage.jsonl import AnyFile, LineLog

__all__ = ["Keeps", "OnSqueezed", "SqueezedTrace", "Squeezing", "rank", "squeeze_traces"]

logger = logging.getLogger(__name__)

Keeps = Callable[[Call, Mapping[str, Any]], bool]
"""Whether a call's outputs may take the place of the call's own: the same answer, or one that is as good."""

OnSqueezed = Callable[["SqueezedTrace"], None]


@dataclass(frozen=True)
class SqueezedTrace:
    """A trace with the units alone that its answers need.

    Attributes:
        example_index: The example's place in the training set.
        sample: Which of the example's samples the original is.
        style: The style that it was sampled under.
        calls: Its calls, shortened.
        states_answer: The share of its answers' words that stand in the reasoning, in [0, 1].
        uses_input: The share of the words that distinguish its inputs which stand in the reasoning, in [0, 1]. A word
            that the answer has too counts where it stands there once more.
        earned: Whether the program, forced without any reasoning, does not give that answer.
        brevity: 1 where it fits into the middle budget, the lower of two, less by as much as it is longer.
        usage: What the forced answers cost.
        substance: How many different words of those that tell inputs apart stand in it: the numbers of a calculation,
            or the rare words of a text. Examples that take more steps have more of them.
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

    @property
    def reasoning_tokens(self) -> int:
        """Of all its calls."""
        return sum(call.reasoning_tokens for call in self.calls)

    @property
    def merit(self) -> float:
        """What it is ranked by, in [0, 1]: its figures multiplied, less a fifth where it is not earned.

        A trace that does not state its answer, or does not work with its input, teaches to answer without thinking; one
        that is longer than most budgets teaches to be long. Four short traces that were not earned were worth more than
        four long ones that were.
        """
        return self.states_answer * self.uses_input * self.brevity * (1.0 if self.earned else 0.8)


@dataclass(frozen=True)
class Squeezing:
    """How traces are squeezed.

    Attributes:
        program: Whose forced answers decide what a trace needs.
        words: Tells which words distinguish an input.
        answer_key: Makes answers comparable.
        keeps: Whether other outputs of a call are as good as its own; by default those with the same answer.
        threads: Traces at the same time.
    """

    program: Anytime
    words: WordsOf
    answer_key: AnswerKey = answer_text
    keeps: Keeps | None = None
    threads: int = 1

    def keeps_answer(self, call: Call, outputs: Mapping[str, Any]) -> bool:
        """Whether outputs may take the place of a call's own."""
        if self.keeps is not None:
            return self.keeps(call, outputs)
        return self._key(outputs) == self._key(call.outputs)

    def words_of_answer(self, outputs: Mapping[str, Any]) -> frozenset[str]:
        """Returns the words that the answer is known by."""
        return WordsOf.of_answer(self._key(outputs) or "")

    def _key(self, outputs: Mapping[str, Any]) -> str | None:
        prediction = dspy.Prediction(**outputs)
        # A task's own key reads the program's answer; what an inner call gave is known by its text.
        return self.answer_key(prediction) or answer_text(prediction)


def squeeze_traces(
    traces: Sequence[SampledTrace],
    squeezing: Squeezing,
    *,
    path: AnyFile | None = None,
    on_squeezed: OnSqueezed | None = None,
) -> list[SqueezedTrace]:
    """Squeezes traces at their largest budget, each call by itself.

    Args:
        traces: Those whose answers are to be taught.
        squeezing: How.
        path: Where given, a JSON Lines file that holds each squeezed trace as it finishes; those in it are not squeezed
            again.
        on_squeezed: Called with each, those of the file included.

    Returns:
        Squeezed traces in the order of `rank`: by `merit`, then the shorter first. Traces whose call was no text, or
        was never answered, are left out.

    Raises:
        AnytimeError: Every forced answer failed.
        RunError: The file is of something else, is damaged, or cannot be written.
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
    for place, outcome in finished(partial(_squeezed, squeezing), wanted, squeezing.threads):
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
        raise AnytimeError(f"no trace could be squeezed ({failures[0]}): mend the LM, and compile again")
    return sorted((one for key, one in done.items() if key in asked and one.calls), key=rank)


def rank(squeezed: SqueezedTrace) -> tuple[float, int, int, int]:
    """Returns what squeezed traces are ordered by, the best first."""
    return -round(squeezed.merit, 6), squeezed.reasoning_tokens, squeezed.example_index, squeezed.sample


def _squeezed(squeezing: Squeezing, trace: SampledTrace) -> SqueezedTrace | Exception:
    program = squeezing.program
    predictors = dict(program.named_predictors())
    # An outer budget that no run can exhaust: it adds up what was really spent, answers from a log left out.
    with budget(1, answer_tokens=program.answer_tokens) as spent:
        try:
            calls = [
                _shortened(squeezing, predictors[call.predictor], call)
                for call in trace.checkpoints[-1].calls
                if call.predictor in predictors
            ]
        except AnytimeError:
            raise
        except Exception as error:  # an LM's failure must not lose the traces that are paid for
            return error
    made = [one for one in calls if one is not None]
    reasoned = "\n".join(one.call.reasoning for one in made)
    inputs = frozenset().union(*(squeezing.words.in_inputs(one.call.inputs) for one in made))
    answers = frozenset().union(*(squeezing.words_of_answer(one.call.outputs) for one in made))
    middle = program.budgets[(len(program.budgets) - 1) // 2]
    tokens = sum(one.call.reasoning_tokens for one in made)
    return SqueezedTrace(
        example_index=trace.example_index,
        sample=trace.sample,
        style=trace.style,
        calls=tuple(one.call for one in made),
        states_answer=WordsOf.share(answers, reasoned),
        uses_input=WordsOf.share(inputs, reasoned, beside=answers),
        earned=any(one.earned for one in made),
        brevity=min(1.0, middle / max(1, tokens)),
        usage=spent.usage,
        substance=len(squeezing.words.in_text(reasoned)),
    )


@dataclass(frozen=True)
class _Shortened:
    """One call, and whether its answer took any reasoning."""

    call: Call
    earned: bool


def _shortened(squeezing: Squeezing, predictor: dspy.Predict, call: Call) -> _Shortened | None:
    """Squeezes one call; None where it has no reasoning that could be shown."""
    texts = [call.reasoning, *map(str, call.outputs.values())]
    if not call.answered or not call.reasoning.strip() or any(has_marker(text) for text in texts):
        return None
    if not formats.reasoning_fields(predictor.signature):
        return None
    answered: dict[str, Call] = {}
    words, answer = squeezing.words.in_inputs(call.inputs), squeezing.words_of_answer(call.outputs)
    whole = call.reasoning
    if WordsOf.share(answer, whole) < 1:
        # What small models work out in the answer itself is reasoning too: "46 * 4 = 184" is a good trace.
        answers = (call.outputs[name] for name in formats.answer_fields(predictor.signature))
        whole = "\n".join([whole, *(text for text in answers if isinstance(text, str))])
    said = WordsOf.share(words, whole), WordsOf.share(answer, whole)

    def keeps(text: str) -> bool:
        if text and (WordsOf.share(words, text), WordsOf.share(answer, text)) != said:
            return False  # the answer may well survive, but such a trace teaches to leave the work to the answer
        made = forced_call(
            predictor,
            call.inputs,
            text,
            name=call.predictor,
            answer_tokens=squeezing.program.answer_tokens,
        )
        answered[text] = made
        return made.answered and squeezing.keeps_answer(call, made.outputs)

    earned = not keeps("")
    text = shortest(whole, keeps, words)
    if text not in answered and not keeps(text):  # nothing could be left out, and not even the whole is enough
        return None
    tokens = counter_for(predictor.lm or dspy.settings.lm).count(text)
    return _Shortened(replace(answered[text], reasoning_tokens=tokens), earned)


def _read(line: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> SqueezedTrace:
    calls = tuple(call_from(call, types) for call in line["calls"])
    return SqueezedTrace(**{**line, "calls": calls, "usage": Usage(**line["usage"])})
