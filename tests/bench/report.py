"""The table of the benchmark, one group of columns for each checkout, and its JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.checkouts import Checkout
    from tests.bench.lines import Line, Spread


def machine() -> str:
    """Return what the figures were measured on, and how busy it was at the start."""
    busy = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load on the same machine, load average at the start {busy:.1f}"
    )


def one_line(line: Line) -> str:
    """Return the figure as one line of progress."""
    whose = f" [{line.checkout}]" if line.checkout else ""
    ratio = f", ratio {ratio_text(line.ratio)}" if line.ratio else ""
    return f"{line.name}{whose}: {value_text(line.value, line.unit)}{ratio}"


def table(lines: Sequence[Line], checkouts: Sequence[Checkout], title: str) -> Table:
    """Return one row for each figure. With two checkouts the second is beside the first.

    `of before` is the value of the first checkout divided by that of the second.
    """
    first = checkouts[0].name
    before = checkouts[1].name if len(checkouts) > 1 else ""
    grid = Table("figure", "value", "ratio (least..greatest)", title=title)
    for header in (f"value, {before}", f"ratio, {before}", "of before") if before else ():
        grid.add_column(header)
    grid.add_column("target")
    grid.add_column("reached")
    others = {line.name: line for line in lines if before and line.checkout == before}
    for line in lines:
        if line.checkout not in {"", first}:
            continue
        row = [line.name, value_text(line.value, line.unit), ratio_text(line.ratio)]
        if before:
            row += _beside(line, others.get(line.name))
        grid.add_row(*row, line.target, {None: "", True: "yes", False: "NO"}[line.reached])
    return grid


def write_json(path: Path, title: str, lines: Sequence[Line]) -> None:
    """Write the lines with all spreads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": title, "lines": [asdict(line) for line in lines]}, indent=1))


def _beside(line: Line, before: Line | None) -> list[str]:
    """Return the columns of the second checkout, which are empty for a figure that it does not have."""
    if before is None:
        return ["", "", ""]
    change = f"{line.value.median / before.value.median:.2f}x" if before.value.median else ""
    return [value_text(before.value, before.unit), ratio_text(before.ratio), change]


def value_text(value: Spread, unit: str) -> str:
    """Return the median with its unit."""
    return f"{_number(value.median)} {unit}".strip()


def ratio_text(ratio: Spread | None) -> str:
    """Return the median, the least and the greatest, such as ``0.45x (0.40..0.50)``."""
    if ratio is None:
        return ""
    spread = "" if ratio.flat else f" ({ratio.low:.2f}..{ratio.high:.2f})"
    return f"{ratio.median:.2f}x{spread}"


def _number(value: float) -> str:
    """Return a number with three decimals below 100, else with thousands separators and none."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
