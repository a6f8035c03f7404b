"""A sweep: every example of a data set at every budget, kept as it comes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Call
from anytime_dspy.errors import AnytimeError, DataError, ModelError
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.saved import BUDGETS_KEY
from anytime_dspy.store import ExampleResult, RunStore, result_from

__all__ = ["example_id", "program_hash", "sweep"]

logger = logging.getLogger(__name__)


def sweep(
    program: Anytime,
    examples: Sequence[dspy.Example],
    metric: AnytimeIndex,
    *,
    store: RunStore | None = None,
    threads: int = 1,
    on_result: Callable[[ExampleResult], None] | None = None,
    redact: Callable[[ExampleResult], ExampleResult] | None = None,
) -> list[ExampleResult]:
    """Runs a program on every example and scores it at every budget.

    Args:
        program: The program; the LM is that of the surrounding `dspy.context`.
        examples: What to run it on; each has an `id`, or is known by its place.
        metric: Scores the checkpoints.
        store: Where given, each result is written there as it comes, and what is there already is not run again.
        threads: Examples run at the same time.
        on_result: Called in this thread with each new result.
        redact: Takes from each new result what may not be kept, before anything else sees it.

    Returns:
        One result an example, in the order of `examples`. An example whose run failed has an `error` and no points.

    Raises:
        DataError: There are no examples, or two have the same id.
        ModelError: The LM cannot be swept: what stops one example would stop them all.
        AnytimeError: Every example failed; the message is the first one's.
    """
    named = {example_id(example, place): example for place, example in enumerate(examples)}
    if not named or len(named) < len(examples):
        raise DataError("no examples to sweep over" if not named else "two examples have the same id: make ids unique")
    known = {result.id: result for result in store.results() if result.error is None} if store else {}
    results = {name: known[name] for name in named if name in known}
    waiting = {name: example for name, example in named.items() if name not in known}
    with ThreadPoolExecutor(max_workers=threads) as pool:
        # DSPy keeps its settings in context variables, which a pool's threads do not see by themselves.
        futures = [
            pool.submit(copy_context().run, _run_one, program, metric, name, example)
            for name, example in waiting.items()
        ]
        try:
            for future in as_completed(futures):
                result = redact(future.result()) if redact else future.result()
                if result.error:
                    logger.warning("Example %s failed: %s", result.id, result.error)
                results[result.id] = result
                if store:
                    store.append(result)
                if on_result:
                    on_result(result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    errors = [result.error for result in results.values() if result.error]
    if len(errors) == len(named):
        raise AnytimeError(f"All {len(named)} examples failed; the first said: {errors[0]}")
    return [results[name] for name in named]


def example_id(example: dspy.Example, place: int) -> str:
    """Returns an example's `id`, or its place in the data where it has none."""
    return str(example.get("id", None) or place)


def program_hash(program: dspy.Module) -> str:
    """Returns a hash of what was learned or written into a program: its instructions, fields and demonstrations."""
    state = {name: _content(value) for name, value in program.dump_state().items() if name != BUDGETS_KEY}
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _content(state: Any) -> Any:
    return {key: state[key] for key in ("signature", "demos") if key in state} if isinstance(state, dict) else state


def _run_one(program: Anytime, metric: AnytimeIndex, name: str, example: dspy.Example) -> ExampleResult:
    inputs = example.inputs().toDict()
    try:
        prediction = program(**inputs)
    except ModelError:
        raise
    except Exception as error:  # one bad example must not lose the paid ones
        return ExampleResult(id=name, inputs=inputs, points=(), error=f"{type(error).__name__}: {error}")
    curve = metric.curve(example, prediction)
    return result_from(name, inputs, prediction.checkpoints, curve.qualities, _trace(prediction.checkpoints[-1].calls))


def _trace(calls: Iterable[Call]) -> list[dict[str, Any]]:
    return [
        {
            "predictor": call.predictor,
            "reasoning": call.reasoning,
            "outputs": dict(call.outputs),
            "reasoning_tokens": call.reasoning_tokens,
            "answer_tokens": call.answer_tokens,
            "forced": call.forced,
        }
        for call in calls
    ]
