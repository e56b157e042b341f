"""Tables on a terminal and elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from placet.cli.rendering.output import print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def test_effects_are_coloured_on_a_terminal(
    capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    terminal(80)
    print_table(("effect",), [["deny"], ["[bold]x[/bold]"]])
    out = capsys.readouterr().out
    assert "\x1b[31mdeny" in out
    assert "[bold]x[/bold]" in out


def test_nothing_is_cut_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [["x" * 500, "é\x1b[31m\n"], ["y", ""]])
    assert capsys.readouterr().out.splitlines() == [f"a{' ' * 501}b", f"{'x' * 500}  é�[31m�", "y"]


def test_a_terminal_shows_every_character_and_keeps_the_whole_column_on_one_line(
    capsys: pytest.CaptureFixture[str], terminal: Callable[[int], None]
) -> None:
    terminal(40)
    print_table(("rule_id", "id"), [["allowlist." + "read_tool" * 3, "dec_0123456789abcdef"]], whole="id")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[1].rstrip().endswith("dec_0123456789abcdef")
    assert "".join(lines[1:]).replace("dec_0123456789abcdef", "").replace(" ", "") == "allowlist." + "read_tool" * 3
