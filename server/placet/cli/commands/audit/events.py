"""`placet audit events`: records of any kind, read from the database itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet.audit.records import RecordKind
from placet.cli.commands.audit.verification import DatabaseFile, database_of
from placet.cli.offline import existing, open_settings
from placet.cli.options import ConfigFile, DatabaseUrl, DataDir, OutputOption, parse_time
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_json, print_table
from placet.kernel.diagnostics import did_you_mean
from placet.kernel.limits import PAGE_SIZE_DEFAULT

if TYPE_CHECKING:
    from placet.storage.sql.audit_log_reader import LoggedRecord

_COLUMNS: Final = ("recorded_at", "kind", "tenant", "who", "what", "why")
_EVERYWHERE: Final = frozenset({"v", "writer", "sequence", "kind", "tenant", "recorded_at_us", "parts", "caller"})
_WHO: Final = ("actor", "person")
_WHY: Final = ("reason", "text")
_OF_DECISIONS: Final = frozenset({"input", "decision"})
"""Parts that a line has no room for: `placet audit show` has them."""
_CELL_CHARS: Final = 60
"""Longer values are cut in the table."""
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def events(  # noqa: PLR0913 - one option for each condition and source
    *,
    tenant: Annotated[
        str, typer.Option(help="Only of this tenant. Default: of all, and of none.", metavar="T", show_default=False)
    ] = "",
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only of this kind, such as kill_switch.set. May be repeated.", metavar="KIND"),
    ] = None,
    since: Annotated[str, typer.Option("--from", help="Recorded at or after, ISO 8601; UTC unless it says.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = PAGE_SIZE_DEFAULT,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
    database_url: DatabaseUrl = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List records of any kind, newest first, with who did it and why; reads the database itself, and checks nothing.

    Example: placet audit events --kind kill_switch.set --kind budget.adjusted
    """
    from placet.storage.sql.audit_log_reader import LogQuery  # noqa: PLC0415 - only with a database

    asked_from = parse_time("--from", since)
    from_us = (asked_from - _BEGINNING) // timedelta(microseconds=1) if asked_from is not None else 0
    settings = open_settings(data_dir, config, database_url)
    found = existing(database_of(settings, database)).log(
        LogQuery(limit, tenant, tuple(_kind(each) for each in kind or ()), max(from_us, 0))
    )
    if output is Output.JSON:
        print_json({"records": [_document(each) for each in found]})
    else:
        print_table(_COLUMNS, [[_cut(cell) for cell in _row(each)] for each in found])


def _kind(written: str) -> RecordKind:
    """The kind of that name. BadParameter for none."""
    try:
        return RecordKind(written)
    except ValueError as error:
        known = did_you_mean(written, RecordKind)
        raise typer.BadParameter(f"--kind: {written!r} is no kind of record; {known}") from error


def _document(record: LoggedRecord) -> dict[str, Any]:
    return {"recorded_at": _recorded_at(record), "body": record.body, "parts": record.parts}


def _row(record: LoggedRecord) -> tuple[str, ...]:
    body = record.body
    parts = [part for name, part in record.parts.items() if name not in _OF_DECISIONS and isinstance(part, dict)]
    said = {name: value for part in parts for name, value in part.items()}
    facts = {name: value for name, value in body.items() if name not in _EVERYWHERE and not name.endswith("_digest")}
    facts |= {name: value for name, value in said.items() if name not in {*_WHO, *_WHY}}
    what = " ".join(f"{name}={value}" for name, value in facts.items() if value not in ("", None, [], 0))
    return (
        _recorded_at(record),
        str(body.get("kind")),
        str(body.get("tenant")),
        _first(said, _WHO),
        what,
        _first(said, _WHY),
    )


def _cut(cell: str) -> str:
    return cell if len(cell) <= _CELL_CHARS else f"{cell[: _CELL_CHARS - 1]}…"


def _first(said: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((str(said[name]) for name in names if said.get(name)), "")


def _recorded_at(record: LoggedRecord) -> str:
    return time_text(_BEGINNING + timedelta(microseconds=record.body["recorded_at_us"]))
