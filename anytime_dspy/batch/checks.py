"""Checks that a sweep can run as batch jobs, before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, get_args

import dspy
from dspy.utils.exceptions import LMError

from anytime_dspy.anytime import Anytime
from anytime_dspy.batch.gateway import BatchRequest
from anytime_dspy.errors import ModelError, ProgramError
from anytime_dspy.runtime.context import current_tracker
from anytime_dspy.runtime.predictors import named_predictors

__all__ = ["batch_lm", "check_calls", "check_model", "check_program"]

_IN_THE_OPEN = ("none", "minimal")

LIVE = "sweep it live instead"


def batch_lm(program: Anytime) -> dspy.LM:
    """Returns the LM of a program.

    Raises:
        ModelError: There is none, it has no batch API of OpenAI's kind, or it hides its reasoning.
    """
    lm = next((predictor.lm for _, predictor in named_predictors(program.program)), None) or dspy.settings.lm
    if lm is None:
        raise ModelError("there is no LM: sweep inside `with dspy.context(lm=dspy.LM(...))`")
    check_model(str(lm.model) if isinstance(lm, dspy.LM) and isinstance(lm.engine, str) else type(lm).__name__)
    if (
        program.state.mode == "trace"
        and lm.supports_reasoning
        and lm.kwargs.get("reasoning_effort") not in _IN_THE_OPEN
    ):
        raise ModelError(
            f"{lm.model} hides its thinking, so that a job of traces would be paid for nothing: use "
            'Anytime(program, mode="contract"), or a reasoning_effort so low that it thinks in the open'
        )
    return lm


def check_model(name: str) -> None:
    """Checks that an LM has a batch API of OpenAI's kind.

    Raises:
        ModelError: It has none; the message says which LMs have one.
    """
    if not name.startswith("openai/"):
        raise ModelError(
            f"{name} has no batch API that is known here: name a model openai/..., with api_base where another server "
            f"speaks OpenAI's files and batches API, or {LIVE}"
        )


def check_program(program: Anytime) -> None:
    """Checks that two jobs are enough for a program: one of its traces, one of its forced answers.

    Raises:
        ProgramError: They are not; the message says why.
    """
    predictors = named_predictors(program.program)
    if len(predictors) != 1:
        names = ", ".join(name for name, _ in predictors)
        raise ProgramError(
            f"a batch is for programs of one predictor, and this one has {len(predictors)} ({names}): each step would "
            f"wait for a job of its own; {LIVE}"
        )
    if _uses_tools(program.program, predictors[0][1].signature):
        raise ProgramError(f"a batch cannot use tools, whose results decide what is asked next: {LIVE}")
    if program.state.stop is not None:
        raise ProgramError(f"stop=... wants each answer before the next call, and a batch makes all at once: {LIVE}")
    if current_tracker() is not None:
        raise ProgramError("a batch counts tokens alone: take it out of the `with ad.budget(...)` block")
    if dspy.settings.send_stream is not None:
        raise ProgramError(f"a batch cannot stream: {LIVE}")


def check_calls(
    program: Anytime,
    inputs: Mapping[str, Any],
    asked_in_rehearsal: Callable[[], Mapping[str, BatchRequest]],
) -> None:
    """Checks that a program calls its LM once, and alike each time. Nothing is sent.

    Args:
        program: The program.
        inputs: The inputs of one example.
        asked_in_rehearsal: Returns the requests that would be sent for them.

    Raises:
        ProgramError: It does not; the message says why.
    """
    counting = _Counting()
    # A program may fail at an empty answer.
    with dspy.context(adapter=counting), suppress(Exception):
        program.program(**inputs)
    if counting.calls > 1:
        raise ProgramError(
            f"the program calls its predictor more than once: each call would wait for a job of its own; {LIVE}"
        )
    if asked_in_rehearsal().keys() != asked_in_rehearsal().keys():
        raise ProgramError(
            f"the program asks something else each time that it is run, so that no job's answers fit it: {LIVE}"
        )


def _uses_tools(program: dspy.Module, signature: type[dspy.Signature]) -> bool:
    kinds = {kind for field in signature.fields.values() for kind in (field.annotation, *get_args(field.annotation))}
    return bool(kinds & {dspy.Tool, dspy.ToolCalls}) or any(True for _ in program.named_sub_modules(type_=dspy.Tool))


class _Counting(dspy.Adapter):
    """Returns empty answers, and counts the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        self.calls += 1
        if self.calls > 1:
            raise LMError("one call is enough to see it")
        return [dict.fromkeys(signature.output_fields)]
