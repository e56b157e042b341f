"""`placet doctor`: check that everything Placet needs is there."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - read when the signature is
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet.cli.doctor.installation import run_checks
from placet.cli.doctor.running_server import Check, failed, passed
from placet.cli.options import ConfigFile, OutputOption, reachable
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_json, visible
from placet.cli.settings_flags import with_settings
from placet.kernel.errors import ConfigurationError
from placet.server.settings_sources import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from placet.server.settings import Settings

app = typer.Typer()
_COLUMNS: Final = 100
_NAME_CHARS: Final = 16
_STATE_CHARS: Final = 7


@app.command("doctor")
@with_settings
def doctor(
    *,
    flags: Mapping[str, Any],
    config: ConfigFile = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="A server that must be running. Default: none has to be.",
            envvar="PLACET_ADDRESS",
            metavar="HOST:PORT",
            callback=reachable,
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check what `placet serve` with the same settings would need. Changes nothing. Exit code 1 when something fails.

    Example: placet doctor --data-dir /var/lib/placet
    """
    found = _run(flags, config, address)
    if output is Output.JSON:
        checks = [{"check": each.name, "ok": each.ok, "detail": each.detail, "remedy": each.remedy} for each in found]
        print_json({"ok": all(each.ok for each in found), "checks": checks})
    else:
        for check in found:
            _print(check)
    raise typer.Exit(exit_codes.OK if all(each.ok for each in found) else exit_codes.CHECK_FAILED)


def _print(check: Check) -> None:
    """What was found, wrapped, and the remedy on lines of its own; words such as paths are never cut."""
    state = "ok" if check.ok else "FAILS"
    begin = f"{check.name:<{_NAME_CHARS}}{state:<{_STATE_CHARS}}"
    told = [(begin, check.detail)] if not check.remedy else [(begin, check.detail), ("", f"remedy: {check.remedy}")]
    indent = " " * (_NAME_CHARS + _STATE_CHARS)
    for first, text in told:
        lines = wrap(text, _COLUMNS - len(indent), break_long_words=False, break_on_hyphens=False) or [""]
        typer.echo(visible(f"{first or indent}{lines[0]}"))
        for line in lines[1:]:
            typer.echo(visible(f"{indent}{line}"))


def _run(flags: Mapping[str, Any], config: Path | None, address: str | None) -> list[Check]:
    try:
        settings, _ = load_settings(flags, config)
    except ConfigurationError as error:
        return [failed("settings", "; ".join(str(error).splitlines()))]
    return [passed("settings", "valid"), *(_named(each, settings) for each in run_checks(settings, address))]


def _named(check: Check, settings: Settings) -> Check:
    """The check, whose commands name the data directory."""
    return replace(check, detail=settings.name_data_dir(check.detail), remedy=settings.name_data_dir(check.remedy))
