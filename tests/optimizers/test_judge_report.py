from __future__ import annotations

import dspy
import pytest

from anytime_dspy.checkpoint import Usage
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.agreement import Agreement
from anytime_dspy.optimizers.judges.base import Choice, Judgement, Orders, Reliability
from anytime_dspy.optimizers.judges.report import GoldCheck, gold_check, judge_report
from tests.optimizers.made import group

METRIC = AnytimeIndex(lambda example, prediction: float(example.answer == prediction.answer))
LABELLED = [dspy.Example(question="?", answer="a").with_inputs("question")]
UNLABELLED = [dspy.Example(question="?").with_inputs("question")]


def test_every_pair_of_traces_with_another_gold_quality_is_compared():
    groups = [group(("a", "a"), ("b", "a"), ("b", "b"), (None, "b"))]
    # At the smaller budget gold sets trace 0 against the other three, at the larger one 0 and 1 against 2 and 3.
    said = Judgement("judge", (((0.9, 0.5), (0.1, None), (1.0, 0.5), (0.9, 0.4)),))
    assert gold_check(groups, said, LABELLED, METRIC) == GoldCheck(pairs=7, agree=2, disagree=1)


def test_without_labels_there_is_nothing_to_agree_with():
    groups = [group(("a",), ("b",))]
    assert gold_check(groups, Judgement("judge", (((1.0,), (0.0,)),)), UNLABELLED, METRIC) is None


def test_a_quality_that_fails_loses_no_compile():
    broken = AnytimeIndex(lambda example, prediction: 1 / 0)
    assert gold_check([group(("a",), ("b",))], Judgement("judge", (((1.0,), (0.0,)),)), LABELLED, broken) is None


def test_a_report_holds_what_judging_cost_once_and_how_steady_the_used_one_was():
    groups = [group(("a",), ("b",))]
    measured = (Reliability("one", 0.2, "so", Usage(calls=3)), Reliability("two", 0.8, "so", Usage(calls=4)))
    said = Judgement("two", (((1.0,), (0.0,)),), Usage(calls=5), Orders(pairs=4, given=3, same=2, verdicts=7, first=5))
    report = judge_report(Choice(Agreement(), measured, "why"), said, groups, LABELLED, METRIC)
    assert (report.judge, report.reason, report.labelled) == ("two", "why", False)
    assert report.usage.calls == 3 + 5
    assert report.consistency == pytest.approx(2 / 3)
    assert report.tie_rate == 0.5
    assert report.position_bias == pytest.approx(5 / 7)
    assert report.gold == GoldCheck(1, 1, 0)


def test_a_judge_that_compares_nothing_has_no_orders():
    groups = [group(("a",), ("a",))]
    report = judge_report(Choice(Agreement(), (), ""), Agreement().scores(groups), groups, LABELLED, METRIC)
    assert (report.orders, report.consistency, report.tie_rate, report.position_bias) == (None, None, None, None)
    assert report.gold == GoldCheck(0, 0, 0)
