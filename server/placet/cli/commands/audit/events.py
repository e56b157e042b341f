"""`placet audit events`: records of any kind, read from the database without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from placet.audit.records import RecordKind
from placet.cli.commands.audit.verification import DatabaseFile, database_of
from placet.cli.offline import existing, open_settings
from placet.cli.options import ConfigFile, DatabaseUrl, DataDir, Limit, OutputOption, parse_time
from placet.cli.rendering.documents import time_text
from placet.cli.rendering.output import Output, print_json, print_table
from placet.kernel.diagnostics import did_you_mean
from placet.kernel.limits import PAGE_SIZE_DEFAULT

if TYPE_CHECKING:
    from placet.storage.sql.readers.audit_log_reader import LoggedRecord

_COLUMNS: Final = ("recorded_at", "kind", "tenant", "who", "what", "why")
_CALLER_FIELDS: Final = frozenset({"caller", "caller_method", "caller_issuer"})
_COMMON_FIELDS: Final = _CALLER_FIELDS | {"v", "writer", "sequence", "kind", "tenant", "recorded_at_us", "parts"}
_ACTOR_FIELDS: Final = ("actor", "person")
_REASON_FIELDS: Final = ("reason", "text")
_DECISION_PARTS: Final = frozenset({"input", "decision"})
"""Parts that are too long for a table. `placet audit show` prints them."""
_CELL_CHARS: Final = 60
"""The table cuts longer values."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


Tenant = Annotated[
    str, typer.Option(help="Only records of this tenant. Default: all records.", metavar="TENANT", show_default=False)
]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Only records of this kind, e.g. kill_switch.set. May be repeated.", metavar="KIND"),
]
Caller = Annotated[
    str, typer.Option(help="Only records of calls of this caller.", metavar="CALLER", show_default=False)
]
Person = Annotated[
    str,
    typer.Option(help="Only votes and changes of this person.", metavar="PERSON", show_default=False),
]
From = Annotated[
    str,
    typer.Option(
        "--from",
        help="Recorded at or after this time, ISO 8601. Default zone: UTC.",
        metavar="TIME",
        show_default=False,
    ),
]


def events_command(  # noqa: PLR0913 - one option for each filter and source
    *,
    tenant: Tenant = "",
    kind: Kinds = None,
    caller: Caller = "",
    person: Person = "",
    since: From = "",
    limit: Limit = PAGE_SIZE_DEFAULT,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    database: DatabaseFile = None,
    database_url: DatabaseUrl = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List records of any kind, newest first, with actor and reason.

    Reads the database without a server and verifies nothing.

    Example: placet audit events --kind kill_switch.set --kind budget.adjusted
    """
    from placet.storage.sql.readers.audit_log_reader import LogQuery  # noqa: PLC0415 - only with a database

    recorded_from = parse_time("--from", since)
    from_us = (recorded_from - _EPOCH) // timedelta(microseconds=1) if recorded_from is not None else 0
    query = LogQuery(limit, tenant, tuple(map(_parse_kind, kind or ())), caller, person, max(from_us, 0))
    settings = open_settings(data_dir, config, database_url)
    records = existing(database_of(settings, database)).log(query)
    if output is Output.JSON:
        print_json({"records": [_document(record) for record in records]})
    else:
        print_table(_COLUMNS, [[_cut(cell) for cell in _row(record)] for record in records])


def _parse_kind(text: str) -> RecordKind:
    try:
        return RecordKind(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"--kind: {text!r} is not a kind of record; {did_you_mean(text, RecordKind)}"
        ) from error


def _document(record: LoggedRecord) -> dict[str, Any]:
    return {"recorded_at": _recorded_at(record), "body": record.body, "parts": record.parts}


def _row(record: LoggedRecord) -> tuple[str, ...]:
    body = record.body
    parts = [part for name, part in record.parts.items() if name not in _DECISION_PARTS and isinstance(part, dict)]
    part_fields = {name: value for part in parts for name, value in part.items()}
    fields = {
        name: value for name, value in body.items() if name not in _COMMON_FIELDS and not name.endswith("_digest")
    }
    fields |= {name: value for name, value in part_fields.items() if name not in {*_ACTOR_FIELDS, *_REASON_FIELDS}}
    return (
        _recorded_at(record),
        str(body.get("kind")),
        str(body.get("tenant")),
        _first(part_fields, _ACTOR_FIELDS) or (str(body["caller"]) if body.get("caller_method") else ""),
        " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", None, [], 0)),
        _first(part_fields, _REASON_FIELDS),
    )


def _cut(cell: str) -> str:
    return cell if len(cell) <= _CELL_CHARS else f"{cell[: _CELL_CHARS - 1]}…"


def _first(fields: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((str(fields[name]) for name in names if fields.get(name)), "")


def _recorded_at(record: LoggedRecord) -> str:
    return time_text(_EPOCH + timedelta(microseconds=record.body["recorded_at_us"]))
