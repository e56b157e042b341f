"""Records of any kind as they are stored, newest first: for people who ask who did what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from placet.audit.records import RecordKind
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements import Statements


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which records, `count` at most. `tenant` "" is every tenant and none, no `kinds` is every kind."""

    count: int
    tenant: str = ""
    kinds: tuple[RecordKind, ...] = ()
    from_us: int = 0


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record's body and its parts, by name. A part that was erased is missing."""

    body: dict[str, Any]
    parts: dict[str, Any]


def read_log(connection: Connection, sql: Statements, query: LogQuery) -> list[LoggedRecord]:
    """The newest of them. Reads without a check: that is `verify`. ConfigurationError when a record is no JSON."""
    statement = sql.records.log(tenant=bool(query.tenant), kinds=len(query.kinds), from_us=bool(query.from_us))
    given = [*([query.tenant] if query.tenant else []), *map(str, query.kinds)]
    given_times = [query.from_us] if query.from_us else []
    rows = connection.execute(statement, [*given, *given_times, query.count]).fetchall()
    found = connection.fetch_lists(sql.parts.of_record, [row[:3] for row in rows])
    try:
        return [
            LoggedRecord(orjson.loads(row[3]), {name: orjson.loads(content) for name, _, content in parts})
            for row, parts in zip(rows, found, strict=True)
        ]
    except orjson.JSONDecodeError as error:
        raise ConfigurationError("a record cannot be read; run `placet audit verify`") from error
