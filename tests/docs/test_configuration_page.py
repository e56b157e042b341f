"""The pages configuration and commands list exactly the settings, exit codes and commands of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from placet.cli import main as cli
from placet.cli.rendering import exit_codes
from placet.server.settings.model import ENV_PREFIX, Settings
from placet.server.settings.sources import CLIENT_VARIABLES
from tests.docs.tables import DOCS, by_name, sections

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = DOCS / "reference/configuration.md"
COMMANDS = DOCS / "reference/commands.md"


def setting_row(name: str) -> tuple[str, ...]:
    """What the table says of a setting: flag, variable, default, meaning."""
    field = Settings.model_fields[name]
    flag = "--" + name.replace("_", "-")
    default = "see there" if field.default_factory else str(field.default) or "empty"
    if isinstance(field.default, bool):
        flag = f"{flag}`, `--no-{flag[2:]}" if field.default else flag
        default = default.lower()
    flag_cell = f"`{flag}`" if "`" in flag else flag
    return flag_cell, f"{ENV_PREFIX}{name.upper()}", default, str(field.description)


def commands() -> Iterator[str]:
    """Every command that can be typed, e.g. ``placet audit verify``."""
    for name in cli.COMMANDS:
        below = getattr(cli.load_command(name), "commands", None)
        yield from (f"placet {name} {subcommand}" for subcommand in below) if below else (f"placet {name}",)


def test_every_setting_has_its_row_and_no_other() -> None:
    documented = by_name(CONFIGURATION, "Settings")
    assert documented == {name: setting_row(name) for name in Settings.model_fields}


def test_the_environment_of_clients_is_documented() -> None:
    text = sections(CONFIGURATION)["Clients"]
    assert {name for name in CLIENT_VARIABLES if f"`{name}`" in text} == CLIENT_VARIABLES


def test_every_exit_code_has_its_row_and_no_other() -> None:
    codes = {str(code): name for name, code in vars(exit_codes).items() if name.isupper()}
    assert {code: row[0] for code, row in by_name(CONFIGURATION, "Exit codes").items()} == codes


def test_every_command_has_its_heading_and_no_other() -> None:
    documented = [heading for heading in sections(COMMANDS) if heading != "Commands"]
    assert sorted(documented) == sorted(commands())


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_has_an_example(command: str) -> None:
    section = COMMANDS.read_text().partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    assert re.search(rf"^```\n{command}\b", section, re.MULTILINE), f"commands.md shows no example of {command}"
