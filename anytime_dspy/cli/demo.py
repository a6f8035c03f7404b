"""`anytime-dspy demo`: the whole way, on a real model, in some minutes on two cores."""

from __future__ import annotations

from typing import Annotated

import typer

from anytime_dspy.cli.options import DEFAULT_MODEL, Effort, Json, ModelName, Out, Seed, Temperature, Threads

EXAMPLE = "Example: [cyan]anytime-dspy demo --out runs/demo[/cyan]"

TASK = "word_problems"
TEST_EXAMPLES = 36
TRAINING_EXAMPLES = 48
"""All are sampled, as many as run at a time: few right traces are of problems with several steps, and these are worth
most as demonstrations."""
RACING = 24
"""The training examples of the heats; as many are for the finalists."""
OVERTIME = 24
"""Further training examples, for a race that is still undecided."""
SAMPLES, TRIALS, ROUNDS = 1, 7, 2
SEED = 728
"""Its problems are those of the README: of five seeds that nobody had looked at, it has the median gain."""


def demo(
    model: ModelName = DEFAULT_MODEL,
    temperature: Temperature = None,
    reasoning_effort: Effort = None,
    out: Out = None,
    seed: Seed = SEED,
    threads: Threads = None,
    profile: Annotated[bool, typer.Option("--profile", help="Show afterwards where the seconds went.")] = False,
    as_json: Json = False,
) -> None:
    """Measures a plain program on held-out word problems, compiles it in a short race, and measures it again."""
    from anytime_dspy.cli.compile import CompileOptions, compile_and_measure
    from anytime_dspy.cli.options import open_lm, threads_for
    from anytime_dspy.cli.profile import show_profile
    from anytime_dspy.cli.results import sweeping_bar
    from anytime_dspy.cli.tasks import anytime_program, default_folder
    from anytime_dspy.profiling import phase, profiled
    from anytime_dspy.programs import get_task
    from anytime_dspy.programs.examples import test_examples, training_examples
    from anytime_dspy.programs.measurement import Measurement

    task = get_task(TASK)
    test = test_examples(task, None, None, seed, TEST_EXAMPLES)
    trainset = training_examples(task, None, TRAINING_EXAMPLES + OVERTIME, seed, test)
    threads = threads or threads_for(model)
    folder = out or default_folder("demo", TASK)
    student = anytime_program(task, None, None)
    options = CompileOptions(SAMPLES, TRAINING_EXAMPLES, trials=TRIALS, examples=RACING, rounds=ROUNDS, judge="metric")
    with profiled() as spent, phase("everything else"):
        lm = open_lm(model, threads=threads, temperature=temperature, reasoning_effort=reasoning_effort)
        measurement = Measurement(task, test, lm, threads, seed, bar=sweeping_bar)
        compile_and_measure(measurement, student, trainset, options, folder, as_json=as_json)
    if profile:
        show_profile(spent)
