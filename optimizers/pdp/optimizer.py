"""PDP, Preference Data Prompting: a program is shown better and worse traces of its own at every budget."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

import dspy
from dspy.teleprompt import Teleprompter

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.anytime import Anytime
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError, DataError, ProgramError
from anytime_dspy.measure import program_hash
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.base import Judge
from anytime_dspy.optimizers.judges.metric_judges import Checked, Gold
from anytime_dspy.optimizers.judges.registry import check_judge
from anytime_dspy.optimizers.pdp.compiler import Compiling, Watch
from anytime_dspy.optimizers.search.limits import Limits, OnTrial
from anytime_dspy.optimizers.search.locks import AnyFolder
from anytime_dspy.optimizers.search.race import FIRST_HEAT
from anytime_dspy.optimizers.search.space import shown_inputs
from anytime_dspy.optimizers.search.trial_store import TrialStore
from anytime_dspy.optimizers.search.trials import Validation
from anytime_dspy.optimizers.traces.sampling import OnTrace, Sampling
from anytime_dspy.optimizers.traces.squeeze import OnSqueezed
from anytime_dspy.optimizers.validation import check_compile, check_inputs
from anytime_dspy.storage.jsonl import LineLog, content_hash

__all__ = ["PDP"]

TRIALS = 16
"""Candidates of a race unless another number is given."""

EXAMPLES = 64
"""Examples of a race, as far as there are so many, unless another number is given."""


@dataclass(frozen=True)
class PDP(Teleprompter):
    """Compiles an `Anytime` program with preference pairs that it judges itself (Zhang et al., arXiv 2601.11038).

    The student is sampled on the training examples, its traces are cut and answered at every budget, and a judge
    scores them. Good traces are squeezed: whatever their answer does not need is left out. Sets of squeezed traces as
    demonstrations, and other prompts, then race against the student, by the Anytime Index; the student is returned
    unless a gain is 90% sure. By the paper's recipe (`trials=0`) the pair with the largest gap at each budget goes into
    the prompt instead, unmeasured.

    Nothing is kept on the optimiser: it may compile again, other programs too. With a `log_dir` a compile that was
    killed and is started again goes on where it was: the same program comes out, and no finished LM call is repeated.
    Several processes with the same `log_dir` share the trials.

    Attributes:
        metric: The Anytime Index. It chooses no pair, only between candidates; the report says with it how often
            self-judgement and gold quality agree, where there are labels.
        _: What follows is given by keyword.
        samples: Traces of each training example; a round after the first takes a third as many.
        sampled: How many training examples traces are sampled on, the first ones; by default all.
        temperature: They are sampled at, above 0.
        contrastive: Whether the worse trace is shown beside the better one; without it the recipe is PDP(+).
        judge: Who scores the traces: "agreement" (votes among the samples), "pairwise" (the LM's verdict in both
            orders), "confidence" (how likely the LM finds an answer correct), "auto" (the most reliable of these three
            on these traces), "checked" (the metric's quality where it can be computed from the inputs alone, as
            Trip's can), "metric" (gold quality, which looks at labels), `Teacher(lm)`, a DSPy module `task,
            candidate_a, candidate_b -> better`, or a `Judge` of your own.
        answer_key: Makes answers comparable; by default their text without regard to case and white space.
        threads: Runs and questions at the same time.
        seed: Of the samples, of the pairs that reliability is measured on, of the split and of the search.
        trials: Candidates of each round's race, the first of which is the student itself; some more are composed on the
            way. 0 is the paper's recipe.
        examples: That a race runs at most: of the valset, else of the trainset, those first that traces were sampled
            on. Where it ends undecided, the leader and the student run as many again, if there are more.
        rounds: How many times the best program so far is sampled, judged, squeezed and raced; all but the last time for
            two heats alone, whose leader is sampled next. By default 2 where gold or a check judges, else 1: votes
            would confirm their own mistakes.
        programs: Further candidates: programs made from the same student, such as the `candidate_programs` of MIPROv2,
            with what to call them.
        limits: Where the race stops before its last trial.
        log_dir: Where given, a folder for traces.jsonl (a line a trace, as it finishes), calls.jsonl (LM calls),
            judged.jsonl (what judges were asked), squeezed.jsonl, study.jsonl (Optuna's journal), pairs.jsonl (all
            pairs, the selected ones marked) and report.json.
        storage: Where given, the url of a database as Optuna takes it, such as postgresql://user@host/database, for
            hosts that share no folder: one compile is in it, and whoever gives the same one takes part. All that
            `log_dir` would hold is there then but pairs.jsonl and report.json.

    Raises:
        AnytimeError: An option cannot be used.

    Example:
        >>> from anytime_dspy import AnytimeIndex
        >>> pdp = PDP(AnytimeIndex(lambda example, prediction: example.answer == prediction.answer), samples=4)
        >>> pdp.contrastive
        True
    """

    metric: AnytimeIndex
    _: KW_ONLY
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
    programs: Sequence[tuple[str, Anytime]] = ()
    limits: Limits = field(default_factory=Limits)
    log_dir: str | Path | None = None
    storage: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metric, AnytimeIndex):
            raise AnytimeError(f"metric must be an AnytimeIndex(quality), not {type(self.metric).__name__}")
        if self.samples < 1:
            raise AnytimeError(f"samples must be at least 1, got {self.samples}")
        if self.samples < 2 and not self.trials:
            raise AnytimeError("samples must be at least 2 for the paper's recipe, since its pairs compare traces")
        if not self.temperature > 0:
            raise AnytimeError(f"temperature must be above 0, or all samples are the same; got {self.temperature}")
        if self.threads < 1:
            raise AnytimeError(f"threads must be at least 1, got {self.threads}")
        if self.trials < 0 or self.trials == 1:
            raise AnytimeError(f"trials must be 0, or at least 2 for the student and another; got {self.trials}")
        if self.rounds is not None and self.rounds < 1:
            raise AnytimeError(f"rounds must be at least 1, got {self.rounds}")
        if (self.rounds or 1) > 1 and not self.trials:
            raise AnytimeError("rounds need a race to tell which program is the best so far: give trials too")
        if self.sampled is not None and self.sampled < 1:
            raise AnytimeError(f"sampled must be at least 1, got {self.sampled}")
        if self.examples < FIRST_HEAT:
            raise AnytimeError(f"examples must be at least {FIRST_HEAT}, the first heat; got {self.examples}")
        if self.programs and not self.trials:
            raise AnytimeError("programs are candidates of a race: give trials too")
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
            trainset: Examples with their inputs set. Labels, where there are any, are looked at by the metric in the
                race, and by the judge "metric"; everything else only reports on them.
            teacher: Refused: the student learns from its own traces.
            valset: What candidates are measured on, with whatever the metric needs. Without it they are measured on the
                trainset, each without the examples that it shows. The fixed recipe has nothing to measure.
            on_trace: Called with each trace as it finishes, for a progress bar: in the first round `samples` of each
                example, fewer in later ones.
            on_squeezed: Called with each squeezed trace as it finishes.
            on_trial: Called with a race's progress.

        Returns:
            The compiled program, with a `CompileReport` as its `compile_report`; after a race also with `score`,
            `candidate_programs` and `trial_logs`, as DSPy's optimisers leave them.

        Raises:
            ProgramError: The student is no `Anytime`, a teacher was given, or a candidate is of another program.
            DataError: There are no training examples, one has no inputs, or there are fewer than a heat has.
            ModelError: There is no LM to run the student on.
            AnytimeError: Every run failed, no judge is reliable, the judge saw no difference between any traces, or no
                trial could be measured.
            RunError: `log_dir` or the database of `storage` is another compile's, or cannot be written.
        """
        check_compile("PDP", student, trainset, teacher)
        check_inputs(valset or (), "validation")
        anytime_index([0.0] * len(student.budgets), student.budgets, axis=self.metric.axis, q_max=self.metric.q_max)
        sampled = list(trainset)[: self.sampled]
        validation = self._validation(student, sampled, list(trainset)[len(sampled) :], valset)
        for name, program in self.programs:
            _check_candidate(name, program, student)
        folder = None if self.log_dir is None else Path(self.log_dir)
        checked = self.judge in ("metric", "checked") or isinstance(self.judge, Checked | Gold)
        compiling = Compiling(
            student=student,
            trainset=sampled,
            validation=validation,
            sampling=Sampling(samples=self.samples, temperature=self.temperature, seed=self.seed, threads=self.threads),
            judge=self.judge,
            answer_key=self.answer_key or answer_text,
            contrastive=self.contrastive,
            trials=self.trials,
            rounds=self.rounds or (2 if checked else 1),
            programs=self.programs,
            limits=self.limits,
            begun=time.monotonic(),
            folder=folder,
            watch=Watch(on_trace, on_squeezed, on_trial),
        )
        with self._shared(folder) as shared:
            held_out = [*validation.examples, *validation.overtime]
            for place in dict.fromkeys((folder, shared)):
                if place:
                    LineLog(place / "compile.jsonl", self._fingerprint(student, sampled, held_out))
            if self.storage and self.trials:
                TrialStore(shared, "round-0")  # Optuna's tables too are tried before anything is paid for
            return replace(compiling, shared=shared).run()

    def _shared(self, folder: Path | None) -> AbstractContextManager[AnyFolder | None]:
        """What processes share that give the same one."""
        if self.storage is None:
            return nullcontext(folder)
        from anytime_dspy.storage.database import DatabaseFolder

        return DatabaseFolder(self.storage)

    def _validation(
        self,
        student: Anytime,
        sampled: Sequence[dspy.Example],
        others: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None,
    ) -> Validation:
        """The examples of the race, in its order: none that the student shows, with whom all others are compared."""
        if not self.trials:
            return Validation([], self.metric, self.threads)
        shown = shown_inputs(student)
        # Those first that were sampled: the student's runs on them are paid for.
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
        return Validation(order[:split], self.metric, self.threads, order[split : 2 * split])

    def _fingerprint(
        self, student: Anytime, trainset: Sequence[dspy.Example], valset: Sequence[dspy.Example]
    ) -> dict[str, Any]:
        """All that decides what comes out but how far a compile goes: trials, rounds and limits may be raised."""
        metric = self.metric
        return {
            "student": program_hash(student),
            "lm": [str(getattr(predictor.lm or dspy.settings.lm, "model", None)) for predictor in student.predictors()],
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
    """Refuses a candidate that is not the student prompted in another way.

    Raises:
        ProgramError: It is no `Anytime`, or has other predictors or fields.
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
