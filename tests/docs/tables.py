"""The tables of a Markdown file, by their heading."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"(?<!\\)\|")


def sections(file: Path) -> dict[str, str]:
    """Return heading -> the text below it, without fenced blocks."""
    parts = _HEADING.split(_FENCED.sub("", file.read_text()))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(file: Path, heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the tables below a heading, without head rows and without backticks around cells."""
    found: list[tuple[str, ...]] = []
    for line in sections(file)[heading].splitlines():
        if line.startswith("| --- "):
            found.pop()  # the head
        elif line.startswith("|"):
            cells = _CELL.split(line.strip()[1:-1])
            found.append(tuple(_bare(cell.strip().replace("\\|", "|")) for cell in cells))
    return found


def by_name(file: Path, heading: str) -> dict[str, tuple[str, ...]]:
    """Return first cell -> other cells. Fails when a first cell occurs twice."""
    table = rows(file, heading)
    names = [row[0] for row in table]
    assert len(set(names)) == len(names), f"{file.name}, {heading}: a row occurs twice"
    return {row[0]: row[1:] for row in table}


def _bare(cell: str) -> str:
    inner = cell[1:-1]
    return inner if len(cell) > 1 and cell[0] == cell[-1] == "`" and "`" not in inner else cell
