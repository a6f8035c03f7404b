"""The table that says where a command's seconds went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from anytime_dspy.cli.options import stderr

if TYPE_CHECKING:
    from anytime_dspy.profiling import Profile

__all__ = ["show_profile"]


def show_profile(profile: Profile) -> None:
    """Prints the seconds of each phase on stderr, the longest first."""
    whole = sum(profile.seconds.values())
    table = Table(title="Where the seconds went", box=None, header_style="bold")
    for name in ("Phase", "Seconds", "Share"):
        table.add_column(name, justify="left" if name == "Phase" else "right")
    for name, seconds in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{seconds:.1f}", f"{seconds / whole:.0%}")
    table.add_row("[bold]all[/bold]", f"{whole:.1f}", "100%")
    stderr.print(table)
