"""The table of the demonstration is legible on terminals of any width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from placet.cli.commands.server.demo import DEFAULT_SCRIPTS
from placet.cli.scenarios.player import Row
from placet.cli.scenarios.script import Script, load_script
from placet.cli.scenarios.table import WHOLE_WIDTH_MIN, table_of

ROOT = Path(__file__).parent.parent.parent
NARROW = 80
REASON = "A reason [of people], at length" * 5


def lines(script: Script, width: int) -> list[str]:
    rows = [Row(step, *step.expected, REASON, 4.2) for step in script.steps]
    console = Console(width=width, file=io.StringIO())
    console.print(table_of(rows, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [NARROW, 100, WHOLE_WIDTH_MIN - 1, WHOLE_WIDTH_MIN, 250])
@pytest.mark.parametrize("file", DEFAULT_SCRIPTS, ids=lambda file: file.stem)
def test_each_answer_is_on_one_line(file: Path, width: int) -> None:
    script = load_script(ROOT / file)
    shown = lines(script, width)
    answers = [line for line in shown if any(step.expected[0] in line for step in script.steps)]
    assert len(answers) == len(script.steps)
    for line, step in zip(answers, script.steps, strict=True):
        assert set(step.expect.split()) <= set(line.split())
        assert len(line) <= width
    assert (("[of people]" in answers[0]), ("4.2" in answers[0])) == (width >= WHOLE_WIDTH_MIN,) * 2


def test_the_second_script_fits_80_columns() -> None:
    script = load_script(ROOT / DEFAULT_SCRIPTS[1])
    shown = lines(script, NARROW)[1:]
    assert [line[: len(step.name)] for line, step in zip(shown, script.steps, strict=True)] == [
        step.name for step in script.steps
    ]


def test_a_very_narrow_terminal_gets_a_table() -> None:
    assert len(lines(load_script(ROOT / DEFAULT_SCRIPTS[1]), 20)) > len(DEFAULT_SCRIPTS)
