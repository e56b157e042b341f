"""Results on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import typer

from placet.kernel.printable import escaped_json, visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLAIN_WIDTH: Final = 10_000
"""Columns of a table that does not go to a terminal, so that no line is wrapped or cut."""


class Output(StrEnum):
    """The format of a result."""

    TABLE = "table"
    JSON = "json"


EFFECT_STYLES: Final = {"allow": "green", "deny": "red", "require_approval": "yellow"}


def print_json(document: object, *, one_line: bool = False) -> None:
    """Print a JSON document; on one line for JSON Lines."""
    typer.echo(escaped_json(json.dumps(document, indent=None if one_line else 2, ensure_ascii=False)))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True, whole: str = "") -> None:
    """Print a table. On a terminal, effects are coloured, and cells are folded; not those of the column `whole`."""
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON
    from rich.table import Column, Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    headers = (Column(name, no_wrap=name == whole, overflow="fold") for name in columns)
    table = Table(*headers, box=None, pad_edge=False, show_header=header)
    for row in rows:
        table.add_row(*(Text(visible(cell), EFFECT_STYLES.get(cell, "")) for cell in row))
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(width=_PLAIN_WIDTH, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print one line for each field that has a value."""
    print_table(("", ""), [(name, str(value)) for name, value in fields if value not in ("", None)], header=False)


def print_error(text: str) -> None:
    """Print lines on stderr. Text from callers or servers in them cannot control the terminal."""
    for line in visible_lines(text):
        typer.echo(line, err=True)
