"""A replayed script as a table, for terminals of any width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from placet.cli.scenarios.step_base import REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.cli.scenarios.player import Row

WHOLE_WIDTH_MIN: Final = 160
"""Columns of a terminal from which on reasons and times are shown."""
_STYLES: Final = {"allow": "green", "deny": "red", "require_approval": "yellow", REFUSED: "magenta"}
_DONE_STYLE: Final = "cyan"
"""What people and executors did."""
_GAPS_WIDTH: Final = 4
"""Columns between the three of a narrow terminal."""
_LINES_AND_MS_WIDTH: Final = 23
"""Columns of the lines between the five of a wide one, and of the times."""
_ACTION_WIDTH_MIN: Final = 8


def table_of(rows: Sequence[Row], width: int) -> Table:
    """One line a step. A narrow terminal has no room but for the action and its rule_id: that is what one looks for."""
    answer = max(len(row.effect) for row in rows) + max(len(row.why) for row in rows)
    whole = width >= WHOLE_WIDTH_MIN
    if whole:
        table, action = Table(), max(len(row.step.name) for row in rows)
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        action = max(width - answer - _GAPS_WIDTH, _ACTION_WIDTH_MIN)
    widths = {"action": action, "effect": None, "rule_id": None}
    if whole:
        widths |= {"reason": width - answer - action - _LINES_AND_MS_WIDTH, "ms": None}
    for name, width_max in widths.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=width_max)
    for row in rows:
        effect = f"[{_STYLES.get(row.effect, _DONE_STYLE)}]{row.effect}[/]"
        more = [escape(row.reason), f"{row.latency_ms:6.1f}"] if whole else []
        table.add_row(escape(row.step.name), effect, row.why, *more)
    return table
