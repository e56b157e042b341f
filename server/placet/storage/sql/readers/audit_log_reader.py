"""Reads records of any kind as they are stored, newest first, for the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.audit.access_records import member
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from placet.audit.records import RecordKind
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.dialect import Statements


PERSON_MEMBERS: Final = ("person", "actor", "requested_by")
"""Members of parts that name the person who voted, or who made or requested a change."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Selects records."""

    count: int
    """How many records at most."""
    tenant: str = ""
    """Empty selects all tenants, and records that belong to none."""
    kinds: tuple[RecordKind, ...] = ()
    """Empty selects every kind."""
    caller: str = ""
    person: str = ""
    """Who made the change, or voted. Empty selects all, as with `caller`."""
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
    persons = [member(name, query.person) for name in PERSON_MEMBERS] if query.person else []
    statement = sql.records.log(
        tenant=bool(query.tenant),
        kinds=len(query.kinds),
        caller=bool(query.caller),
        persons=len(persons),
        from_us=bool(query.from_us),
    )
    conditions: list[Any] = [*([query.tenant] if query.tenant else []), *map(str, query.kinds)]
    conditions += [*([member("caller", query.caller)] if query.caller else []), *persons]
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
