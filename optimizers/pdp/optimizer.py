"""PDP, Preference Data Prompting: shows a program better and worse traces of its own at every budget."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dspy
from dspy.teleprompt import Teleprompter

from anytime_dspy.answers import AnswerKey
from anytime_dspy.anytime import Anytime
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError, DataError, ProgramError
from anytime_dspy.measure import check_inputs
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.checks import check_compile, check_options
from anytime_dspy.optimizers.judges.base import Judge
from anytime_dspy.optimizers.judges.registry import check_judge
from anytime_dspy.optimizers.pdp.compiler import compiled_by_race, compiled_by_recipe
from anytime_dspy.optimizers.pdp.job import CompileJob
from anytime_dspy.optimizers.search.limits import Limits
from anytime_dspy.optimizers.search.progress import OnTrial
from anytime_dspy.optimizers.search.race import FIRST_HEAT
from anytime_dspy.optimizers.search.space import shown_inputs
from anytime_dspy.optimizers.search.trial_store import TrialStore
from anytime_dspy.optimizers.search.trials import SURE, Validation
from anytime_dspy.optimizers.traces.sampling import OnTrace
from anytime_dspy.optimizers.traces.squeeze import OnSqueezed
from anytime_dspy.runtime.predictors import lm_of
from anytime_dspy.state import program_hash
from anytime_dspy.storage.jsonl import LineLog, content_hash
from anytime_dspy.storage.locks import AnyFolder

__all__ = ["PDP"]

TRIALS = 16
"""The default number of candidates of a race."""

EXAMPLES = 64
"""The default number of examples of a race."""


@dataclass(frozen=True, kw_only=True)
class PDP(Teleprompter):
    """Compiles an `Anytime` program with preference pairs that it judges itself (Zhang et al., arXiv 2601.11038).

    The student is sampled on the training examples, its traces are cut and answered at every budget, and a judge
    scores them. Good traces are squeezed: parts that their answer does not need are removed. Sets of squeezed traces as
    demonstrations, and other prompts, then race against the student on the Anytime Index. The student is returned
    unless a gain is 90% certain (`sure`). With the paper's recipe (`trials=0`) the pair with the largest gap at each
    budget goes into the prompt, and nothing is measured.

    The optimiser itself has no state, so it can compile any number of programs. With a `log_dir`, a compile that was
    killed resumes where it stopped, returns the same program, and repeats no finished LM call. Several processes with
    the same `log_dir` share the trials.

    Attributes:
        metric: The Anytime Index. It scores candidates, not pairs. With labels, the report also compares the judge with
            its quality.
        samples: Traces per training example; later rounds take a third as many.
        sampled: The number of training examples that traces are sampled on, the first ones; by default all.
        temperature: The sampling temperature, above 0.
        contrastive: Whether to show the worse trace beside the better one; without it the recipe is PDP(+).
        judge: The judge of the traces: "agreement" (votes among the samples), "pairwise" (the LM's verdicts in both
            orders), "confidence" (the LM's probability that an answer is correct), "auto" (the most reliable of these
            three), "checked" (the metric's quality, computed from the inputs alone, as for Trip), "metric" (gold
            quality, which uses labels), `Teacher(lm)`, a DSPy module `task, candidate_a, candidate_b -> better`, or
            your own `Judge`.
        answer_key: Makes answers comparable; by default their text, ignoring case and white space.
        threads: The number of concurrent runs and requests.
        seed: The seed of the samples, the pairs that reliability is measured on, the order of examples and the search.
        trials: The number of candidates in each round's race, the student included; a few more are composed during the
            race. 0 is the paper's recipe.
        examples: The largest number of examples of a race: of the valset, else of the trainset, beginning with those
            that traces were sampled on. If there are more, up to twice as many are for its overtime.
        rounds: The number of rounds; each samples, judges, squeezes and races the best program so far. All but the last
            race end after two heats, and the next round samples their leader. The default is 2 if the judge measures
            quality, else 1, because votes would confirm their own mistakes.
        sure: The probability of a gain from which on a candidate is returned instead of the student, from 0.5 to below
            1. At 0.5 the best candidate is returned if it is likelier than not to gain, which is nearer to what
            DSPy's optimisers do. It may be changed on resuming; lowering it costs nothing.
        programs: Further candidates, as pairs of a name and a program made from the same student, such as the
            `candidate_programs` of MIPROv2.
        limits: Limits that stop the race early.
        log_dir: A folder for compile.jsonl (the student, data and settings that the folder belongs to), traces.jsonl
            (one line per finished trace), calls.jsonl (LM calls), judged.jsonl (the judge's answers), squeezed.jsonl,
            study.jsonl (Optuna's journal), pairs.jsonl (all pairs, the selected ones marked), report.json, and locks/.
            A second round adds traces-1.jsonl and squeezed-1.jsonl, and so on.
        storage: The URL of a database as Optuna takes it, such as postgresql://user@host/database, for hosts that share
            no folder: it holds one compile, and every process with the same URL takes part. It then stores what
            `log_dir` would, except pairs.jsonl and report.json.

    Raises:
        AnytimeError: An option is invalid.

    Example:
        >>> from anytime_dspy import AnytimeIndex
        >>> pdp = PDP(AnytimeIndex(lambda example, prediction: example.answer == prediction.answer), samples=4)
        >>> pdp.contrastive
        True
    """

    metric: AnytimeIndex = field(kw_only=False)
    samples: int = 6
    sampled: int | None = None
    temperature: float = 0.9
    contrastive: bool = True
    judge: str | Judge | dspy.Module = "auto"
    answer_key: AnswerKey | None = None
    threads: int = 1
    seed: int = 0
    trials: int = TRIALS
    examples: int = EXAMPLES
    rounds: int | None = None
    sure: float = SURE
    programs: Sequence[tuple[str, Anytime]] = ()
    limits: Limits = field(default_factory=Limits)
    log_dir: str | Path | None = None
    storage: str | None = None

    def __post_init__(self) -> None:
        check_options(self, samples=1, sampled=1, rounds=1, threads=1, trials=0, examples=1)
        if self.samples < 2 and not self.trials:
            raise AnytimeError("samples must be at least 2 for the paper's recipe, since its pairs compare traces")
        if self.trials == 1:
            raise AnytimeError(f"trials must be 0, or at least 2 for the student and another; got {self.trials}")
        if (self.rounds or 1) > 1 and not self.trials:
            raise AnytimeError("rounds need a race to tell which program is the best so far: give trials too")
        if self.examples < FIRST_HEAT:
            raise AnytimeError(f"examples must be at least {FIRST_HEAT}, the first heat; got {self.examples}")
        if self.programs and not self.trials:
            raise AnytimeError("programs are candidates of a race: give trials too")
        if not isinstance(self.limits, Limits):
            raise AnytimeError(f"limits must be Limits(calls=..., tokens=..., ...), not {self.limits!r}")
        if not all(isinstance(one, tuple | list) and len(one) == 2 for one in self.programs):
            raise AnytimeError("programs must be pairs of a name and a program, such as [('MIPROv2', program)]")
        check_judge(self.judge)

    def compile(
        self,
        student: Anytime,
        *,
        trainset: Sequence[dspy.Example],
        teacher: dspy.Module | None = None,
        valset: Sequence[dspy.Example] | None = None,
        on_trace: OnTrace | None = None,
        on_squeezed: OnSqueezed | None = None,
        on_trial: OnTrial | None = None,
    ) -> Anytime:
        """Returns a new program with the preference pairs in its prompt; the student is not changed.

        Args:
            student: The program with its budgets; the LM is that of the surrounding `dspy.context`, or its own.
            trainset: Examples with their inputs set. Labels are used by the metric in the race, by the judge "metric",
                and for the report.
            teacher: Not supported: the student learns from its own traces.
            valset: The examples that candidates are measured on, with the labels that the metric needs. By default they
                are measured on the trainset, each without the examples that it shows. The fixed recipe measures
                nothing.
            on_trace: Called with each trace when it is finished, for a progress bar: `samples` per example in the first
                round, fewer in later ones.
            on_squeezed: Called with each squeezed trace when it is finished.
            on_trial: Called with the progress of a race.

        Returns:
            The compiled program, with a `CompileReport` as its `compile_report`; after a race also with `score`,
            `candidate_programs` and `trial_logs`, as with DSPy's optimisers.

        Raises:
            ProgramError: The student is not an `Anytime`, a teacher was given, or a candidate does not fit the student.
            DataError: There are no training examples, one has no inputs, or there are too few for a heat.
            ModelError: There is no LM to run the student on.
            AnytimeError: Every run failed, no judge is reliable, the judge saw no difference between any traces, or no
                trial could be measured.
            RunError: `log_dir` or the database belongs to another compile, or cannot be written.
        """
        trainset, valset = list(trainset), list(valset or ())
        check_compile("PDP", student, trainset, teacher)
        check_inputs(valset, "validation")
        anytime_index([0.0] * len(student.budgets), student.budgets, axis=self.metric.axis, q_max=self.metric.q_max)
        sampled = trainset[: self.sampled]
        validation = self._validation(student, sampled, trainset[len(sampled) :], valset)
        for name, program in self.programs:
            _check_candidate(name, program, student)
        job = CompileJob(self, student, sampled, validation, on_trace, on_squeezed, on_trial)
        with self._shared(job.folder) as shared:
            held_out = [*validation.examples, *validation.overtime]
            for place in dict.fromkeys((job.folder, shared)):
                if place:
                    LineLog(place / "compile.jsonl", self._fingerprint(student, sampled, held_out))
            if self.storage and self.trials:
                TrialStore(shared, "round-0")  # try Optuna's tables too before anything is paid for
            job = replace(job, shared=shared)
            return compiled_by_race(job) if self.trials else compiled_by_recipe(job)

    def _shared(self, folder: Path | None) -> AbstractContextManager[AnyFolder | None]:
        """What the processes of this compile share."""
        if self.storage is None:
            return nullcontext(folder)
        from anytime_dspy.storage.database import DatabaseFolder

        return DatabaseFolder(self.storage)

    def _validation(
        self,
        student: Anytime,
        sampled: Sequence[dspy.Example],
        others: Sequence[dspy.Example],
        valset: Sequence[dspy.Example],
    ) -> Validation:
        """The examples of the race, in order, without those that the student shows."""
        if not self.trials:
            return Validation([], self.metric, self.threads)
        shown = shown_inputs(student)
        # Examples that were sampled come first: the student's runs on them are already paid for.
        parts = [
            [example for example in part if content_hash(example.inputs().toDict()) not in shown]
            for part in ([valset] if valset else [sampled, others])
        ]
        fresh = [example for part in parts for example in part]
        if len(fresh) < FIRST_HEAT:
            given = len(valset or (*sampled, *others))
            besides = f" beside {given - len(fresh)} that the student shows" if len(fresh) < given else ""
            raise DataError(
                f"a race needs {FIRST_HEAT} examples at least, and there are {len(fresh)}{besides}: give more, or "
                "trials=0 for the paper's recipe, which measures nothing"
            )
        rng = random.Random(self.seed)
        order = [example for part in parts for example in rng.sample(part, len(part))]
        split = self.examples
        return Validation(order[:split], self.metric, self.threads, order[split : 3 * split], self.sure)

    def _fingerprint(
        self, student: Anytime, trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example]
    ) -> dict[str, Any]:
        """Everything that the result depends on, except trials, rounds, limits and `sure`, which may change."""
        metric = self.metric
        return {
            "student": program_hash(student),
            "lm": [str(getattr(lm_of(predictor), "model", None)) for predictor in student.predictors()],
            "budgets": student.state.dump_state(),
            "trainset": content_hash([example.toDict() for example in trainset]),
            "valset": content_hash([example.toDict() for example in valset]),
            "metric": [_name(metric.quality), metric.best_so_far, metric.axis, metric.q_max],
            "judge": self.judge if isinstance(self.judge, str) else _name(self.judge),
            "answer_key": _name(self.answer_key),
            "samples": self.samples,
            "temperature": self.temperature,
            "contrastive": self.contrastive,
            "seed": self.seed,
            "examples": self.examples,
            "programs": [program_hash(program) for _, program in self.programs],
        }


def _check_candidate(name: str, program: Any, student: Anytime) -> None:
    """Checks that a candidate is the student with another prompt.

    Raises:
        ProgramError: It is not an `Anytime`, or has other predictors, fields or budgets.
    """
    if not isinstance(program, Anytime):
        raise ProgramError(f"the candidate {name!r} is a {type(program).__name__}: wrap it in ad.Anytime(...)")
    theirs, ours = (
        {place: list(predictor.signature.fields) for place, predictor in one.named_predictors()}
        for one in (program, student)
    )
    if theirs != ours:
        raise ProgramError(
            f"the candidate {name!r} has the predictors {theirs}, the student {ours}: candidates are made from the "
            "same student"
        )
    if program.budgets != student.budgets:
        raise ProgramError(f"the candidate {name!r} has the budgets {program.budgets}, the student {student.budgets}")


def _name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
