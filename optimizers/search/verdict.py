"""The result of a race in one or two sentences."""

from __future__ import annotations

from anytime_dspy.optimizers.search.race_report import RaceReport

__all__ = ["verdict"]


def verdict(race: RaceReport) -> str:
    """Returns which program is returned, the estimated gain, and how many examples it would need to be sure."""
    examples = len(race.student.scores)
    stopped = f" The race was stopped by its limit of {race.stopped}." if race.stopped else ""
    if race.level:
        score = race.student.score or 0.0
        return (
            f"The student is returned: it and every candidate scored {score:.3f} on each of the first {examples} "
            "examples, so nothing tells them apart. Look at the metric, or take harder or easier examples."
        )
    if race.leader == 0:
        return f"The student is returned: no other candidate could be measured.{stopped}"
    leader = race.standings[race.leader]
    low, high = leader.gain.interval
    gained = (
        f"gains {leader.gain.mean:+.3f} (95% interval {low:+.3f} to {high:+.3f}; above zero with a chance of "
        f"{leader.gain.chance:.0%}) over the student's {race.student.score:.3f} on {examples} examples"
    )
    if race.winner:
        return f"{leader.kind} {gained}.{stopped}"
    more = ""
    if race.needed:
        some = f"some {race.needed}" if race.needed > examples else "more"
        more = f" A gain of that size needs {some} examples to be sure."
    return (
        f"The student is returned, since no gain is {race.sure:.0%} sure: the best candidate, {leader.kind}, "
        f"{gained}.{more}{stopped}"
    )
