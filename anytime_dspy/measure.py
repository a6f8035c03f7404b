"""`sweep`: runs a program on every example of a data set and scores it at every budget."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.budgets import whole_number
from anytime_dspy.dashboards.evaluation import SweepEvaluation, log_sweep
from anytime_dspy.errors import AnytimeError, DataError, ModelError, ProgramError, RunError
from anytime_dspy.executors import Executor, ReadyExecutor, RunExample, ThreadExecutor
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.parallel import map_unordered
from anytime_dspy.storage.jsonl import as_json
from anytime_dspy.storage.locks import Busy
from anytime_dspy.storage.results import ExampleResult, result_from
from anytime_dspy.storage.run_folder import RunStore

__all__ = ["check_inputs", "example_id", "named_examples", "sweep"]

logger = logging.getLogger(__name__)

# The parts of a call that a run stores.
_TRACED = ("predictor", "reasoning", "outputs", "reasoning_tokens", "answer_tokens", "forced")


def sweep(
    program: Anytime,
    examples: Sequence[dspy.Example],
    metric: AnytimeIndex,
    *,
    store: RunStore | None = None,
    threads: int = 1,
    executor: Executor | None = None,
    on_result: Callable[[ExampleResult], None] | None = None,
    redact: Callable[[ExampleResult], ExampleResult] | None = None,
) -> list[ExampleResult]:
    """Runs a program on every example and scores it at every budget.

    To DSPy's callbacks a sweep is one evaluation, on a cluster too. MLflow's active run, if there is one, shows its
    curve and its report.

    Args:
        program: The program; the LM is that of the surrounding `dspy.context`.
        examples: The examples; one without an `id` is identified by its position.
        metric: Scores the checkpoints.
        store: A run folder. Each result is appended to it at once, and examples that it has already are not run again.
            Several processes may sweep into the same folder: each example is run by one of them. Into the folder of a
            shard only the shard's examples are run. At the end its lines are put into the order of `examples`.
        threads: Examples run at the same time, by each actor if the executor has several.
        executor: Where the examples run: a `RayExecutor` for a cluster; by default in threads of this process.
        on_result: Called in this thread with each new result, also those of other processes.
        redact: Removes from each new result what must not be stored.

    Returns:
        One result per example, or per example of the shard, in the order of `examples`. An example that could not be
        run or scored has an `error` and no points.

    Raises:
        DataError: There are no examples, one has no inputs, two have the same id, or the folder is another shard's.
        ModelError: The LM cannot be swept, which holds for all examples.
        ProgramError: The program is no `Anytime`, nor around one.
        ClusterError: The cluster cannot be reached, or cannot run the program.
        AnytimeError: Every example failed; the message is that of the first one. Or another argument cannot be used.
    """
    examples = list(examples)
    _check(metric, store, threads, examples)
    named = named_examples(examples, store)
    order = [example_id(example, place) for place, example in enumerate(examples)]
    runner = partial((executor or ThreadExecutor()).running, _ScoredRun(program, metric), threads)

    def run() -> list[ExampleResult]:
        results = _swept(named, order, store, runner, on_result, redact)
        log_sweep(program, results, metric, store)
        return results

    if not dspy.settings.callbacks or not named:  # a shard may be empty, an evaluation may not
        return run()
    evaluation = SweepEvaluation([*named.values()], metric, threads, run, private=redact is not None)
    evaluation(program, callback_metadata={"metric_key": metric.__name__})
    return evaluation.results


def _check(metric: Any, store: Any, threads: Any, examples: Sequence[Any]) -> None:
    """Checks the arguments of a sweep before anything is paid for."""
    if not isinstance(metric, AnytimeIndex):
        raise AnytimeError(f"metric must be an AnytimeIndex(quality), not a {type(metric).__name__}")
    if store is not None and not isinstance(store, RunStore):
        raise RunError(f"store must be a run folder, not {store!r}: open one with RunStore.open(path, fingerprint)")
    if (whole_number(threads) or 0) < 1:
        raise AnytimeError(f"threads must be a whole number of at least 1, got {threads!r}")
    check_inputs(examples, "test")


def check_inputs(examples: Sequence[Any], kind: str) -> None:
    """Checks that examples declare their input fields.

    Args:
        examples: The examples to check.
        kind: What error messages call them.

    Raises:
        DataError: One is no `dspy.Example`, or has no inputs.
    """
    for place, example in enumerate(examples):
        if not isinstance(example, dspy.Example):
            found = type(example).__name__
            raise DataError(f"{kind} example {place} is a {found}: make it a dspy.Example(...).with_inputs(...)")
        try:
            example.inputs()
        except ValueError as error:
            raise DataError(f"{kind} example {place} has no inputs: call .with_inputs(...) on it") from error


def _swept(
    named: Mapping[str, dspy.Example],
    order: Sequence[str],
    store: RunStore | None,
    runner: Callable[[], AbstractContextManager[ReadyExecutor]],
    on_result: Callable[[ExampleResult], None] | None,
    redact: Callable[[ExampleResult], ExampleResult] | None,
) -> list[ExampleResult]:
    known = {result.id: result for result in store.results() if result.error is None} if store else {}
    results = {name: known[name] for name in named if name in known}
    if len(results) < len(named):
        with runner() as running:
            runs = _ExampleRuns(running.run, store, redact)
            # Examples that another process has claimed come last: by then it has run them, or died.
            for wait in (False, True):
                waiting = [(name, example, wait) for name, example in named.items() if name not in results]
                with closing(map_unordered(lambda example: runs.run(*example), waiting, running.slots)) as results_now:
                    for _, result in results_now:
                        if result is None:
                            continue
                        if result.error:
                            logger.warning("Example %s failed: %s", result.id, result.error)
                        results[result.id] = result
                        if on_result:
                            on_result(result)
    if store:
        store.finish(order)
    errors = [result.error for result in results.values() if result.error]
    if errors and len(errors) == len(named):
        raise AnytimeError(f"all {len(named)} examples failed; the first said: {errors[0]}")
    if errors:
        logger.warning(
            "%d of %d examples failed: the next sweep into the same folder tries them again", len(errors), len(named)
        )
    return [results[name] for name in named]


def named_examples(examples: Sequence[dspy.Example], store: RunStore | None = None) -> dict[str, dspy.Example]:
    """Returns the examples by their ids; only those of the shard if the run folder is a shard's.

    Raises:
        DataError: There are no examples, two have the same id, or the folder is a shard of other examples.
    """
    named = {example_id(example, place): example for place, example in enumerate(examples)}
    if not named:
        raise DataError("no examples to sweep over")
    if len(named) < len(examples):
        ids = Counter(example_id(example, place) for place, example in enumerate(examples))
        twice = ids.most_common(1)[0][0]
        raise DataError(f"two examples have the same id, {twice!r}: make ids unique, or leave one of them out")
    if store is None or store.shard is None:
        return named
    here = store.shard.of([*named])
    if here != store.shard:
        raise DataError(
            f"{store.path} is {store.shard}, and these are {here}: give all examples of the same data, in its order"
        )
    return {name: example for name, example in named.items() if store.shard.takes(name)}


def example_id(example: dspy.Example, place: int) -> str:
    """Returns an example's `id`, or its position in the data if it has none."""
    own = example.get("id", None)
    return str(place if own is None else own)


@dataclass(frozen=True)
class _ExampleRuns:
    """Runs examples, each once among all processes that sweep into the same folder."""

    run_example: RunExample
    store: RunStore | None
    redact: Callable[[ExampleResult], ExampleResult] | None

    def run(self, name: str, example: dspy.Example, wait: bool) -> ExampleResult | None:
        """Returns an example's result, another process's too; None where that one is still at work on it.

        Args:
            name: The example's id.
            example: The example.
            wait: Whether to wait for another process that is at work on it.
        """
        if self.store is None:
            return self._run(name, example)
        try:
            with self.store.claim(name, wait=wait) as known:
                if known is not None:
                    return known
                result = self._run(name, example)
                self.store.append(result)
                return result
        except Busy:
            return None

    def _run(self, name: str, example: dspy.Example) -> ExampleResult:
        result = self.run_example(name, example)
        return self.redact(result) if self.redact else result


@dataclass(frozen=True)
class _ScoredRun:
    """Runs one example and scores it, in this process or in an actor that it is sent to."""

    program: Anytime
    metric: AnytimeIndex

    def __call__(self, name: str, example: dspy.Example) -> ExampleResult:
        inputs = example.inputs().toDict()  # as JSON, and as they are before the program may change them

        def failed(error: Exception, where: str = "") -> ExampleResult:
            told = f"{type(error).__name__}: {error}{where}"
            return ExampleResult(id=name, inputs=as_json(inputs), points=(), error=told)

        # One bad example must not lose the results that were paid for.
        try:
            prediction = self.program(**example.inputs())
        except ModelError:
            raise
        except Exception as error:
            return failed(error)
        try:
            curve = self.metric.curve(example, prediction)
        except ProgramError:  # the program has no checkpoints, so that no example can be scored
            raise
        except Exception as error:
            return failed(error, "" if isinstance(error, AnytimeError) else " (raised by the quality function)")
        calls = prediction.checkpoints[-1].calls
        trace = [{part: getattr(call, part) for part in _TRACED} for call in calls]
        # A run's files know no scale: reports and comparisons take qualities in [0, 1].
        qualities = [quality / self.metric.q_max for quality in curve.qualities]
        return result_from(name, inputs, prediction.checkpoints, qualities, trace)
