"""The page: what it shows, that it needs nothing from outside, and that no text in it is taken for markup."""

from __future__ import annotations

import re
from collections import ChainMap
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from anytime_dspy.report.compile_view import CompileView, PairView, PredictorView, TraceView
from anytime_dspy.report.examples import Field, items
from anytime_dspy.report.overview import overview
from anytime_dspy.report.page import render_page
from anytime_dspy.report.plots import Series
from anytime_dspy.report.svg_chart import HEIGHT, WIDTH, chart
from anytime_dspy.report.tables import TextTable
from anytime_dspy.storage.results import ExampleResult, without_texts
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.runs import read_runs
from tests.report.made import BUDGETS, WORDS, made_run

EVIL = "</pre></style><script>alert('{0}')</script><img src=x onerror=alert(1)>{{{{ 7 * 7 }}}}&amp;\u202e"
VOID = {"meta", "line", "polygon", "polyline", "circle", "img", "br"}


class Elements(HTMLParser):
    """Collects tags and texts, and sees to it that every tag is closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page(*folders: Path, compiled: tuple[CompileView, ...] = ()) -> str:
    return render_page(overview(read_runs(folders)), compiled)


def test_a_page_shows_curves_tables_costs_and_every_example(tmp_path):
    made = page(made_run(tmp_path / "plain"), made_run(tmp_path / "pdp", (0.5, 0.7, 0.8, 0.9), seed=1))
    text = " ".join(Elements(made).texts)
    assert made.count("<svg") == 2
    for wanted in ("Summary", "Log axis", "Differences", "Cost", "Tokens to quality", "sum-29", "What is 29 + 29?"):
        assert wanted in text
    assert "made/by-hand" in text
    for budget in BUDGETS:
        assert f"{budget} tokens, {budget} used" in text


def test_a_page_needs_nothing_from_outside_and_runs_nothing(tmp_path):
    made = page(made_run(tmp_path / "plain", n=3))
    elements = Elements(made)
    assert not elements.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert not {name for name in elements.attributes if name in ("src", "href") or name.startswith("on")}
    assert not re.search(r"https?:|url\(|@import", made)
    assert "default-src 'none'; style-src 'unsafe-inline'" in made


def test_what_models_and_data_say_is_text_and_never_markup(tmp_path):
    field = Field(EVIL, EVIL)
    side = TraceView(EVIL, (field,), 1.0)
    compiled = CompileView(
        EVIL,
        (PredictorView(EVIL, EVIL, ((field,),)),),
        (PairView(16, (field,), EVIL, side, side, True, False),),
        (field,),
        (TextTable((EVIL,), ((EVIL,),), EVIL),),
    )
    run = made_run(
        tmp_path / "<b>", n=3, question=EVIL.format, reasoning=EVIL, change={"task": EVIL, "model": EVIL, EVIL: EVIL}
    )
    elements = Elements(page(run, compiled=(compiled,)))
    assert not elements.tags & {"script", "img", "b"}
    assert any(EVIL.format(1) in text for text in elements.texts), "the text itself is shown as it is"


def test_a_trace_is_shown_once_and_cut_where_the_budgets_cut_it(tmp_path):
    (run,) = read_runs([made_run(tmp_path / "run", n=1)])
    (item,) = items([run])
    (attempt,) = item.attempts
    assert "".join(step.reasoning for step in attempt.steps) == (WORDS * 8)[: 4 * BUDGETS[-1]]
    assert [step.state for step in attempt.steps] == ["cut, answer forced"] * 3 + ["ended by itself"]
    assert [field.name for field in attempt.steps[0].answer] == ["answer"]


def test_a_trajectory_is_shown_once_too(tmp_path):
    (run,) = read_runs([made_run(tmp_path / "run", n=1)])
    (result,) = run.results
    seen = [{f"thought_{step}": "look", f"observation_{step}": {"found": step}} for step in range(4)]
    points = tuple(
        replace(point, prediction={"trajectory": dict(ChainMap(*seen[place::-1])), "answer": None})
        for place, point in enumerate(result.points)
    )
    (item,) = items([replace(run, results=(replace(result, points=points),))])
    steps = item.attempts[0].steps
    assert steps[0].reasoning == "thought_0: look\nobservation_0: found: 0"
    assert steps[3].reasoning == "\nthought_3: look\nobservation_3: found: 3"
    assert steps[0].answer == (Field("answer", ""),)


def test_one_example_at_one_budget_makes_a_page(tmp_path):
    made = page(made_run(tmp_path / "run", (1.0,), n=1, budgets=(16,)))
    assert "[–,\u00a0–]" in made
    assert "nan" not in "".join(Elements(made).texts).lower()


def test_an_example_that_failed_says_why(tmp_path):
    folder = made_run(tmp_path / "run", n=2)
    (run,) = read_runs([folder])
    store = RunStore.open(folder, run.fingerprint)
    store.append(ExampleResult("sum-1b", {"question": "?"}, (), error="LMError: <b>outage</b>"))
    elements = Elements(page(folder))
    assert "not run" in elements.texts
    assert "LMError: <b>outage</b>" in elements.texts
    assert "Items left out because they could not be run: 1 of run." in " ".join(elements.texts)


def test_a_run_without_texts_says_so(tmp_path):
    (run,) = read_runs([made_run(tmp_path / "open", n=2)])
    private = RunStore.open(tmp_path / "private", run.fingerprint)
    for result in run.results:
        private.append(without_texts(result, lambda prediction: prediction.answer))
    made = page(tmp_path / "private")
    assert "What is" not in made
    assert WORDS[:20] not in made
    assert made.count("The texts of this task were not kept.") == 2


@pytest.mark.parametrize("axis", ["linear", "log"])
def test_curves_lie_inside_their_chart(tmp_path, axis):
    found = overview(read_runs([made_run(tmp_path / "run", (0.0, 0.5, 0.9, 1.0))]))
    made = chart([Series.of(*row) for row in found.rows], axis)
    (line,) = made.lines
    for points in (line.committed, line.best_so_far, line.band):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    assert [x for x, _ in line.dots] == sorted(x for x, _ in line.dots)
    assert made.budgets[0].label == "128"
    gaps = [right[0] - left[0] for left, right in zip(line.dots, line.dots[1:], strict=False)]
    assert (max(gaps) - min(gaps) < 0.2) == (axis == "log")
