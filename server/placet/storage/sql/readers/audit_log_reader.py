"""Reads records of any kind as they are stored, newest first, for the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from placet.audit.records import RecordKind
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.dialect import Statements


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Selects records."""

    count: int
    """How many records at most."""
    tenant: str = ""
    """Empty selects all tenants, and records that belong to none."""
    kinds: tuple[RecordKind, ...] = ()
    """Empty selects every kind."""
    from_us: int = 0
    """Microseconds; 0 selects all times."""


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """The body and the parts of a record. An erased part is missing."""

    body: dict[str, Any]
    parts: dict[str, Any]


def read_log(connection: Connection, sql: Statements, query: LogQuery) -> list[LoggedRecord]:
    """Return the newest records of the query. Does not verify them.

    Raises ConfigurationError when a record is not JSON.
    """
    statement = sql.records.log(tenant=bool(query.tenant), kinds=len(query.kinds), from_us=bool(query.from_us))
    conditions = [*([query.tenant] if query.tenant else []), *map(str, query.kinds)]
    times = [query.from_us] if query.from_us else []
    rows = connection.execute(statement, [*conditions, *times, query.count]).fetchall()
    parts_of_rows = connection.fetch_lists(sql.parts.of_record, [row[:3] for row in rows])
    try:
        return [
            LoggedRecord(orjson.loads(row[3]), {name: orjson.loads(content) for name, _, content in parts})
            for row, parts in zip(rows, parts_of_rows, strict=True)
        ]
    except orjson.JSONDecodeError as error:
        raise ConfigurationError("a record cannot be read; run `placet audit verify`") from error
