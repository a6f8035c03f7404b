from __future__ import annotations

from anytime_dspy.report.race_chart import race_chart


def standing(number, kind, heats, state, mean=0.0, scores=(0.5, 0.25)):
    return {
        "number": number,
        "kind": kind,
        "heats": heats,
        "state": state,
        "scores": {str(place): score for place, score in enumerate(scores)},
        "gain": {"mean": mean, "sd": 0.1, "chance": 0.9},
    }


RACE = {
    "winner": 2,
    "heats": [8, 16, 32],
    "standings": [
        standing(0, "student", 3, "finished"),
        standing(1, "squeezed 4", 1, "left", -0.05),
        standing(2, "composed 6", 3, "finished", 0.2),
        standing(3, "recipe 4", 1, "failed"),
    ],
}


def test_a_bar_is_as_long_as_its_candidate_ran():
    chart = race_chart(RACE, 0)
    bars = {bar.label: bar for bar in chart.bars}
    ends = dict(map(reversed, chart.heats))
    assert bars["student"].end == bars["composed 6"].end == ends[32]
    assert round(bars["squeezed 4"].end, 1) == ends[8]
    assert [bar.label for bar in chart.bars][:2] == ["student", "composed 6"]
    assert len({bar.y for bar in chart.bars}) == 4
    assert max(bar.y for bar in chart.bars) < chart.height


def test_it_says_who_won_and_what_each_gains():
    bars = {bar.label: bar for bar in race_chart(RACE, 1).bars}
    assert bars["composed 6"].state == "winner"
    assert bars["composed 6"].said == "+0.20 [+0.00, +0.40]"
    assert bars["student"].said == "0.38"
    assert bars["recipe 4"].said == "failed"
    assert race_chart(RACE, 1).title == "Race of round 2"
