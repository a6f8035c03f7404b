"""A sweep: every example of a data set at every budget, kept as it comes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Call
from anytime_dspy.errors import AnytimeError, DataError, ModelError
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.state import BUDGETS_KEY
from anytime_dspy.storage.run_folder import Busy, ExampleResult, RunStore, result_from

__all__ = ["example_id", "named_examples", "program_hash", "sweep"]

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
            Several processes may sweep into the same folder: each example is run by one of them.
        threads: Examples run at the same time.
        on_result: Called in this thread with each result that comes in, be it another process's.
        redact: Takes from each new result what may not be kept, before anything else sees it.

    Returns:
        One result an example, in the order of `examples`. An example that could not be run or scored has an `error` and
        no points.

    Raises:
        DataError: There are no examples, or two have the same id.
        ModelError: The LM cannot be swept: what stops one example would stop them all.
        AnytimeError: Every example failed; the message is the first one's.
    """
    named = named_examples(examples)
    known = {result.id: result for result in store.results() if result.error is None} if store else {}
    results = {name: known[name] for name in named if name in known}
    turns = _Turns(program, metric, store, redact)
    # Those that another process is at work on come last: by then it has run them, or died.
    for wait in (False, True):
        waiting = [(name, example, wait) for name, example in named.items() if name not in results]
        with closing(_finished(turns.take, waiting, threads)) as finished:
            for result in finished:
                if result.error:
                    logger.warning("Example %s failed: %s", result.id, result.error)
                results[result.id] = result
                if on_result:
                    on_result(result)
    errors = [result.error for result in results.values() if result.error]
    if len(errors) == len(named):
        raise AnytimeError(f"All {len(named)} examples failed; the first said: {errors[0]}")
    if errors:
        logger.warning(
            "%d of %d examples failed: the next sweep into the same folder tries them again", len(errors), len(named)
        )
    return [results[name] for name in named]


def named_examples(examples: Sequence[dspy.Example]) -> dict[str, dspy.Example]:
    """Returns examples by their ids.

    Raises:
        DataError: There are none, or two have the same id.
    """
    named = {example_id(example, place): example for place, example in enumerate(examples)}
    if not named or len(named) < len(examples):
        raise DataError("no examples to sweep over" if not named else "two examples have the same id: make ids unique")
    return named


def example_id(example: dspy.Example, place: int) -> str:
    """Returns an example's `id`, or its place in the data where it has none."""
    own = example.get("id", None)
    return str(place if own is None else own)


def program_hash(program: dspy.Module) -> str:
    """Returns a hash of what was learned or written into a program: its instructions, fields and demonstrations."""
    state = {name: _content(value) for name, value in program.dump_state().items() if name != BUDGETS_KEY}
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _content(state: Any) -> Any:
    return {key: state[key] for key in ("signature", "demos") if key in state} if isinstance(state, dict) else state


@dataclass(frozen=True)
class _Turns:
    """Runs examples one at a time, each once among all processes that sweep into the same folder."""

    program: Anytime
    metric: AnytimeIndex
    store: RunStore | None
    redact: Callable[[ExampleResult], ExampleResult] | None

    def take(self, name: str, example: dspy.Example, wait: bool) -> ExampleResult | None:
        """Returns an example's result, another process's too; None where that one is still at work on it.

        Args:
            name: The example's id.
            example: The example.
            wait: Whether to wait for another process that is at work on it.
        """
        if self.store is None:
            return self._run(name, example)
        try:
            with self.store.turn(name, wait=wait) as known:
                if known is not None:
                    return known
                result = self._run(name, example)
                self.store.append(result)
                return result
        except Busy:
            return None

    def _run(self, name: str, example: dspy.Example) -> ExampleResult:
        result = _run_one(self.program, self.metric, name, example)
        return self.redact(result) if self.redact else result


def _finished(
    run: Callable[..., ExampleResult | None], waiting: Iterable[tuple[Any, ...]], threads: int
) -> Generator[ExampleResult, None, None]:
    with ThreadPoolExecutor(max_workers=threads) as pool:
        # DSPy keeps its settings in context variables, which a pool's threads do not see by themselves.
        futures = [pool.submit(copy_context().run, run, *arguments) for arguments in waiting]
        try:
            for future in as_completed(futures):
                result = future.result()
                if result is not None:
                    yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_one(program: Anytime, metric: AnytimeIndex, name: str, example: dspy.Example) -> ExampleResult:
    inputs = example.inputs().toDict()

    def failed(error: Exception, where: str = "") -> ExampleResult:
        return ExampleResult(id=name, inputs=inputs, points=(), error=f"{type(error).__name__}: {error}{where}")

    # One bad example must not lose the paid ones.
    try:
        prediction = program(**inputs)
    except ModelError:
        raise
    except Exception as error:
        return failed(error)
    try:
        curve = metric.curve(example, prediction)
    except Exception as error:
        return failed(error, "" if isinstance(error, AnytimeError) else " (raised by the quality function)")
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
