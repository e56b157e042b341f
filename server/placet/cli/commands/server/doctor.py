"""`placet doctor`: check the installation and the server."""

from __future__ import annotations

import sys
from collections.abc import Mapping  # noqa: TC003 - typer reads it
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads it
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet.cli.doctor.check import Check, failed, passed
from placet.cli.doctor.installation import run_checks
from placet.cli.doctor.own_server import settings_of_server
from placet.cli.doctor.production import production_checks
from placet.cli.options import ConfigFile, OutputOption, reachable
from placet.cli.rendering import exit_codes
from placet.cli.rendering.output import Output, print_json
from placet.cli.settings_flags import with_settings
from placet.kernel.errors import ConfigurationError
from placet.kernel.printable import visible
from placet.server.settings.sources import load_settings

if TYPE_CHECKING:
    from placet.server.settings.model import Settings

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
            help="Address of a server that must run. Default: no server must run.",
            envvar="PLACET_ADDRESS",
            metavar="HOST:PORT",
            callback=reachable,
        ),
    ] = None,
    production: Annotated[
        bool,
        typer.Option("--production", help="Also list what is unsafe where others depend on the server."),
    ] = False,
    kept_checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Newest checkpoints that are kept where the server cannot write, for --production.", metavar="FILE"
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check what `placet serve` with the same settings needs.

    Changes nothing. Exit code 1 when a check fails.

    Example: placet doctor --production --data-dir /var/lib/placet
    """
    if kept_checkpoint is not None and not production:
        raise ConfigurationError("--kept-checkpoint: is a part of --production; add it")
    checks = _run(flags, config, address, production=production, kept=kept_checkpoint)
    ok = all(check.ok for check in checks)
    if output is Output.JSON:
        print_json({"ok": ok, "checks": [_document(check) for check in checks]})
    else:
        for check in checks:
            _print(check)
    raise typer.Exit(exit_codes.OK if ok else exit_codes.CHECK_FAILED)


def _document(check: Check) -> dict[str, Any]:
    return {"check": check.name, "ok": check.ok, "detail": check.detail, "remedy": check.remedy}


def _print(check: Check) -> None:
    """Print a check: on a terminal wrapped, with its remedy on separate lines, without breaking words such as paths.

    Elsewhere on one line, so that programs can search for it.
    """
    state = "ok" if check.ok else "FAILS"
    prefix = f"{check.name:<{_NAME_CHARS}}{state:<{_STATE_CHARS}}"
    if not sys.stdout.isatty():
        typer.echo(visible(prefix + check.detail + (f"; remedy: {check.remedy}" if check.remedy else "")))
        return
    indent = " " * len(prefix)
    lines = _wrap(check.detail) + (_wrap(f"remedy: {check.remedy}") if check.remedy else [])
    for number, line in enumerate(lines):
        typer.echo(visible(f"{indent if number else prefix}{line}"))


def _wrap(text: str) -> list[str]:
    width = _COLUMNS - _NAME_CHARS - _STATE_CHARS
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _run(
    flags: Mapping[str, Any], config: Path | None, address: str | None, *, production: bool, kept: Path | None
) -> list[Check]:
    try:
        settings, _ = load_settings(flags, config)
    except ConfigurationError as error:
        return [failed("settings", "; ".join(str(error).splitlines()))]
    checks = [passed("settings", "valid"), *run_checks(settings, address)]
    if production:
        source, judged = settings_of_server(settings, address)
        checks += [source, *production_checks(judged, kept)]
    return [_name_data_dir(check, settings) for check in checks]


def _name_data_dir(check: Check, settings: Settings) -> Check:
    """Add --data-dir to the `placet` commands in the texts of the check."""
    return replace(check, detail=settings.name_data_dir(check.detail), remedy=settings.name_data_dir(check.remedy))
