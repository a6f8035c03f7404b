"""`anytime-dspy compile`: a program with a better curve, and the proof on data that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anytime_dspy.cli.options import (
    DATA,
    DEFAULT_MODEL,
    RUN,
    Budgets,
    Data,
    Effort,
    Json,
    Limit,
    ModelName,
    Out,
    SavedProgram,
    Seed,
    ShowGpqa,
    Split,
    TaskName,
    Temperature,
    Threads,
)

if TYPE_CHECKING:
    import dspy

    from anytime_dspy.anytime import Anytime
    from anytime_dspy.optimizers import PDP, CompileReport
    from anytime_dspy.programs.measurement import Measurement

LEARNING = "Learning"
"""The help panel for the options that only this command has."""
EXAMPLE = (
    "Example: [cyan]anytime-dspy compile trip --data trip_planning.json --limit 8 --train 6 --out runs/trip-pdp[/cyan]"
)


@dataclass(frozen=True)
class CompileOptions:
    """The options of a compile.

    Attributes:
        samples: Traces sampled for each training example.
        sampled: Training examples that traces are sampled on.
        contrastive: Whether rejected traces are shown beside the chosen ones; without, it is PDP(+).
        trials: Candidates of the race; 0 is the paper's recipe.
        examples: The largest number of examples of the race.
        rounds: The number of rounds; None for the judge's default.
        judge: The judge of the traces; None for a check where the task has one, else "auto".
    """

    samples: int = 6
    sampled: int = 64
    contrastive: bool = True
    trials: int = 16
    examples: int = 64
    rounds: int | None = None
    judge: str | None = None

    @property
    def name(self) -> str:
        """The method's name: the paper's, where its recipe does not race."""
        name = "PDP" if self.contrastive else "PDP(+)"
        return f"{name}, raced" if self.trials else name


def compile_task(
    task: TaskName,
    model: ModelName = DEFAULT_MODEL,
    temperature: Temperature = None,
    reasoning_effort: Effort = None,
    data: Data = None,
    split: Split = None,
    train: Annotated[
        int,
        typer.Option(
            "--train",
            metavar="N",
            rich_help_panel=DATA,
            min=1,
            help="Training examples that traces are sampled on. As many more are for the finalists of the race.",
        ),
    ] = CompileOptions.sampled,
    train_data: Annotated[
        str | None,
        typer.Option(
            "--train-data",
            metavar="FILE_OR_URL",
            rich_help_panel=DATA,
            help="Training examples; by default the task's own, never one of the test.",
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            rich_help_panel=LEARNING,
            min=1,
            help="Traces sampled for each training example.",
        ),
    ] = CompileOptions.samples,
    contrastive: Annotated[
        bool, typer.Option(rich_help_panel=LEARNING, help="Show rejected traces beside the chosen ones.")
    ] = CompileOptions.contrastive,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="NAME",
            rich_help_panel=LEARNING,
            help="Who says which traces are good: metric (looks at labels: best where there are any), checked, "
            "agreement, pairwise, confidence, auto. By default checked where the task needs no labels, else auto.",
        ),
    ] = CompileOptions.judge,
    trials: Annotated[
        int,
        typer.Option(
            "--trials",
            metavar="N",
            rich_help_panel=LEARNING,
            min=0,
            help="Candidates that race; 0: the paper's recipe, unmeasured.",
        ),
    ] = CompileOptions.trials,
    examples: Annotated[
        int,
        typer.Option(
            "--examples",
            metavar="N",
            rich_help_panel=LEARNING,
            min=8,
            help="Training examples that the race runs.",
        ),
    ] = CompileOptions.examples,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            metavar="N",
            rich_help_panel=LEARNING,
            min=1,
            help="The number of rounds of sampling and racing; by default 2 with metric or checked, else 1.",
        ),
    ] = CompileOptions.rounds,
    program: SavedProgram = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            rich_help_panel=RUN,
            help="A database's url: hosts that give the same one share the compile, each with its own --out.",
        ),
    ] = None,
    limit: Limit = None,
    budgets: Budgets = None,
    out: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
    show_gpqa: ShowGpqa = False,
    as_json: Json = False,
) -> None:
    """Compiles a task's program with self-judged preference pairs, and measures it before and after on test data."""
    from anytime_dspy.cli.options import open_lm, threads_for
    from anytime_dspy.cli.results import sweeping_bar
    from anytime_dspy.cli.tasks import anytime_program, default_folder
    from anytime_dspy.programs.examples import test_examples, training_examples
    from anytime_dspy.programs.measurement import Measurement
    from anytime_dspy.programs.registry import chosen_task

    chosen = chosen_task(task, show_texts=show_gpqa, copies_texts=True)
    student = anytime_program(chosen, budgets, program)
    test = test_examples(chosen, data, split, seed, limit)
    trainset = training_examples(chosen, train_data, 2 * train, seed, test, data)
    folder = out or default_folder("compile", chosen.name)
    threads = threads or threads_for(model)
    lm = open_lm(model, threads=threads, temperature=temperature, reasoning_effort=reasoning_effort)
    measurement = Measurement(chosen, test, lm, threads, seed, bar=sweeping_bar)
    options = CompileOptions(samples, train, contrastive, trials, examples, rounds, judge)
    compile_and_measure(measurement, student, trainset, options, folder, storage=storage, as_json=as_json)


def compile_and_measure(
    measurement: Measurement,
    student: Anytime,
    trainset: list[dspy.Example],
    options: CompileOptions,
    folder: Path,
    *,
    storage: str | None = None,
    as_json: bool,
) -> None:
    """Measures a program, compiles it, measures the result on the same examples, and shows both.

    Leaves in the folder: program.json, pairs.jsonl, traces.jsonl, curve.png, report.json, and a run folder for each of
    the two sweeps. Started again, it takes what is there and does the rest.
    """
    from anytime_dspy.cli.results import compare, show
    from anytime_dspy.programs.measurement import fingerprint
    from anytime_dspy.storage.run_folder import RunStore

    pdp = optimiser(measurement, options, folder, storage)  # an option that cannot be used is refused before all else
    settings = {**asdict(options), "seed": measurement.seed, "training examples": [str(e.get("id")) for e in trainset]}
    RunStore.open(folder, fingerprint(measurement.task, student, measurement.lm, **settings))
    # A database that cannot be used is to be known before anything is paid for.
    made = compiled_program(measurement, student, trainset, pdp, folder) if storage else None
    before = measurement.of("plain", student, folder / "plain")
    compiled, report = made or compiled_program(measurement, student, trainset, pdp, folder)
    after = measurement.of(options.name, compiled, folder / "compiled")
    title = f"{measurement.task.name} on {measurement.lm.model}"
    differences = compare(before, after, measurement.seed)
    show([before, after], differences, folder, title=title, as_json=as_json, more={"compile": report})


def optimiser(measurement: Measurement, options: CompileOptions, folder: Path, storage: str | None = None) -> PDP:
    """Returns the optimiser that does what the options say.

    Raises:
        AnytimeError: One of them is invalid.
    """
    from anytime_dspy.metric import AnytimeIndex
    from anytime_dspy.optimizers import PDP

    task = measurement.task
    return PDP(
        # Where quality needs labels nobody can pick the best answer so far: a search goes by the answers at hand.
        metric=AnytimeIndex(task.quality, best_so_far=not task.needs_labels),
        samples=options.samples,
        sampled=options.sampled,
        contrastive=options.contrastive,
        judge=options.judge or ("auto" if task.needs_labels else "checked"),
        answer_key=task.answer_key,
        threads=measurement.threads,
        seed=measurement.seed,
        trials=options.trials,
        examples=options.examples,
        rounds=options.rounds,
        log_dir=folder,
        storage=storage,
    )


def compiled_program(
    measurement: Measurement, student: Anytime, trainset: list[dspy.Example], pdp: PDP, folder: Path
) -> tuple[Anytime, CompileReport]:
    """Returns the compiled program and what compiling it was: loaded from the folder, or made now and saved there."""
    import dspy

    from anytime_dspy.anytime import Anytime
    from anytime_dspy.cli.progress import compile_bars
    from anytime_dspy.optimizers import CompileReport
    from anytime_dspy.programs.saved import save_program

    saved, made = folder / "program.json", folder / "report.json"
    if saved.exists() and made.exists():
        known = Anytime(measurement.task.program(), student.budgets, answer_tokens=student.answer_tokens)
        return known.load(saved), CompileReport.read(made)
    sampled = len(trainset[: pdp.sampled])
    with compile_bars(sampled * pdp.samples) as bars, dspy.context(lm=measurement.lm):
        compiled = pdp.compile(
            student,
            trainset=trainset,
            on_trace=bars.on_trace,
            on_squeezed=bars.on_squeezed,
            on_trial=bars.on_trial,
        )
    save_program(compiled, saved, measurement.task.name)
    return compiled, compiled.compile_report
