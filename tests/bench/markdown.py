"""Print the JSON of a benchmark as the Markdown tables of the documentation: `markdown.py .cache/bench.json...`.

With two checkouts the other one, which is usually the one before, has its columns first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.checkouts import HERE
from tests.bench.lines import Line, Spread
from tests.bench.report import ratio_text, value_text

if TYPE_CHECKING:
    from collections.abc import Sequence

REACHED = {None: "", True: "", False: ", **not reached**"}


def table(lines: Sequence[Line]) -> str:
    """Return one row for each figure."""
    others = list(dict.fromkeys(line.checkout for line in lines if line.checkout not in {"", HERE.name}))
    heads = ["figure", *(f"{name}{what}" for name in others for what in ("", ", ratio")), "value", "ratio", "target"]
    rows = [heads, ["---"] * len(heads)]
    by_name = {(line.checkout, line.name): line for line in lines}
    for line in lines:
        if line.checkout in {"", HERE.name}:
            beside = [cell for name in others for cell in _cells(by_name.get((name, line.name)))]
            rows.append([line.name, *beside, *_cells(line), line.target + REACHED[line.reached]])
    return "\n".join("".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in rows)


def read(file: Path) -> tuple[str, list[Line]]:
    """Return the title and the lines of a JSON file."""
    content = json.loads(file.read_text())
    return content["machine"], [_line(entry) for entry in content["lines"]]


def _line(entry: dict[str, Any]) -> Line:
    ratio = Spread(**entry["ratio"]) if entry["ratio"] else None
    return Line(**{**entry, "value": Spread(**entry["value"]), "ratio": ratio})


def _cells(line: Line | None) -> list[str]:
    return [value_text(line.value, line.unit), ratio_text(line.ratio)] if line else ["", ""]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        title, found = read(Path(name))
        print(f"{title}\n\n{table(found)}\n")
