"""Reads decisions and the stored trail, on any engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from placet.audit.access_records import member
from placet.audit.decision_codec import recorded_decision
from placet.audit.records import DecisionPage
from placet.audit.verification.verify_chain import StoredCheckpoint, StoredHead, StoredRecord
from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.model import PROVEN
from placet.storage.sql.paging import read_token, write_token
from placet.storage.sql.schema import CONDITIONS
from placet.storage.sql.statements.records import INDEX_COLUMNS, RECORD_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from placet.audit.records import DecisionQuery, RecordedDecision
    from placet.kernel.state import StateTable
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.dialect import Statements

Place = tuple[int, str, int]
"""Where a page ends: recorded_at_us, writer, sequence."""
_SPLIT: Final = len(RECORD_COLUMNS)
RECORDS_AT_ONCE: Final = 200
"""Records whose parts are read together during verification: some megabytes at most, but few round trips."""


def load_decision(connection: Connection, sql: Statements, place: tuple[str, str, int]) -> RecordedDecision:
    """Return the decision at (tenant, writer, sequence). Raises RecordDamagedError when there is none."""
    row = connection.execute(sql.records.body_at, place).fetchone()
    body, record_hash = row if row is not None else (b"", b"")
    return recorded_decision(body, _contents(connection, sql, place), record_hash)


@dataclass(frozen=True, slots=True)
class DecisionReader:
    """Reads decisions on a connection. Raises RecordDamagedError when a stored record cannot be read."""

    connection: Connection
    sql: Statements

    def get(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """Return one decision of the tenant, or None."""
        row = self.connection.execute(self.sql.records.decision, (tenant, decision_id)).fetchone()
        if row is None:
            return None
        writer, sequence, body, record_hash = row
        return recorded_decision(body, _contents(self.connection, self.sql, (tenant, writer, sequence)), record_hash)

    def page(self, query: DecisionQuery) -> DecisionPage:
        """Return a page, newest first. Raises InvalidRequestError when the page token is invalid."""
        conditions = {name: value for name in CONDITIONS if (value := getattr(query, name))}
        if query.person:
            conditions["user"] = query.person
        members = members_of(query)
        before = _before(query)
        size = min(query.page_size, PAGE_SIZE_MAX)
        sql = self.sql.records.page(
            tuple(conditions),
            members=len(members),
            from_us=bool(query.decided_from_us),
            before=before is not None,
        )
        times = [query.decided_from_us] if query.decided_from_us else []
        parameters = [query.tenant, *map(str, conditions.values()), *members, *times, *(before or ()), size + 1]
        rows = self.connection.execute(sql, parameters).fetchall()
        shown = rows[:size]
        parts_of_rows = self.connection.fetch_lists(
            self.sql.parts.of_record, [(query.tenant, *row[1:3]) for row in shown]
        )
        decisions = tuple(
            recorded_decision(row[3], _by_name(parts), row[4]) for row, parts in zip(shown, parts_of_rows, strict=True)
        )
        return DecisionPage(decisions, write_token(shown[-1][:3]) if len(rows) > size else "")


def members_of(query: DecisionQuery) -> list[bytes]:
    """Return the members of the body that the query requires."""
    members = [member("caller", query.caller)] if query.caller else []
    return [*members, member("user_method", PROVEN)] if query.person else members


def _before(query: DecisionQuery) -> Place | None:
    """Return the bound where the page begins.

    There is one bound only: a second one on the time makes SQLite leave the index of the condition.
    """
    bounds = [(query.decided_until_us, "", 0)] if query.decided_until_us else []
    if (token := place_before(query.page_token)) is not None:
        bounds.append(token)
    return min(bounds, default=None)


def place_before(token: str) -> Place | None:
    """Return where the previous page ended, or None for the first page.

    Raises InvalidRequestError when the token is not one of ours.
    """
    place = read_token(token, (int, str, int))
    return (place[0], place[1], place[2]) if place is not None else None


@dataclass(frozen=True, slots=True)
class StoredTrail:
    """The stored trail: a `placet.audit.verification.verify_trail.Trail`.

    The caller holds one snapshot while it reads.
    """

    connection: Connection
    sql: Statements

    def writers(self) -> list[Any]:
        """Return every writer that has a record, checkpoint, part or head."""
        return [writer for (writer,) in self.connection.execute(self.sql.chains.writers)]

    def head(self, writer: Any) -> StoredHead | None:  # noqa: ANN401 - as stored
        """Return the head of the chain as its writer stored it."""
        row = self.connection.execute(self.sql.chains.head, (writer,)).fetchone()
        return StoredHead(*row) if row is not None else None

    def records(self, writer: Any, after: int = 0) -> Iterator[StoredRecord]:  # noqa: ANN401 - as stored
        """Yield the writer's records by sequence; those after `after`, if the chain's beginning needs no check."""
        if after:
            rows = self.connection.stream(self.sql.records.of_writer_after, (writer, after))
        else:
            rows = self.connection.stream(self.sql.records.of_writer, (writer,))
        while portion := list(islice(rows, RECORDS_AT_ONCE)):
            parts_of_rows = self.connection.fetch_lists(self.sql.parts.of_record, [row[:3] for row in portion])
            for row, parts in zip(portion, parts_of_rows, strict=True):
                yield _stored_record(row, parts)

    def checkpoints(self, writer: Any, after: int = 0) -> Iterator[StoredCheckpoint]:  # noqa: ANN401 - as stored
        """Yield the writer's checkpoints by sequence, those after `after`."""
        if after:
            rows = self.connection.stream(self.sql.checkpoints.after, (writer, after))
        else:
            rows = self.connection.stream(self.sql.checkpoints.of_writer, (writer,))
        for row in rows:
            yield StoredCheckpoint(*row)

    def checkpoint_before(self, writer: str, sequence: int) -> StoredCheckpoint | None:
        """Return the writer's newest checkpoint at or before the sequence."""
        row = self.connection.execute(self.sql.checkpoints.at_or_before, (writer, sequence)).fetchone()
        return StoredCheckpoint(*row) if row is not None else None

    def key(self, tenant: str, caller: str, idempotency_key: str) -> tuple[Any, ...] | None:
        """Return what is stored under an idempotency key."""
        key = (tenant, caller, idempotency_key)
        row: tuple[Any, ...] | None = self.connection.execute(self.sql.keys.stored, key).fetchone()
        return row

    def decision(self, tenant: str, decision_id: str) -> Any:  # noqa: ANN401 - as stored
        """Return the body of the record of a decision."""
        row = self.connection.execute(self.sql.records.decision, (tenant, decision_id)).fetchone()
        return row[2] if row is not None else None

    def parts_count(self) -> int:
        """Return how many parts are stored."""
        return int(self.connection.execute(self.sql.parts.count).fetchone()[0])

    def keys_count(self) -> int:
        """Return how many idempotency keys are stored."""
        return int(self.connection.execute(self.sql.keys.count).fetchone()[0])

    def rows(self, table: StateTable) -> Iterator[tuple[Any, ...]]:
        """Return all rows of a table."""
        return self.connection.stream(self.sql.state.all_rows(table), ())

    def counters(self) -> Iterator[tuple[Any, ...]]:
        """Return all counters."""
        return self.connection.stream(self.sql.state.all_counters, ())


def newest_checkpoints(connection: Connection, sql: Statements) -> list[Any]:
    """Return the newest checkpoint of each writer: writer, sequence, body, signature."""
    writers = connection.execute(sql.checkpoints.writers).fetchall()
    return connection.fetch_each(sql.checkpoints.newest, writers)


def _stored_record(row: Any, parts: Iterable[Any]) -> StoredRecord:  # noqa: ANN401 - as stored
    record_columns, index_columns = row[:_SPLIT], row[_SPLIT:-3]
    body, previous_hash, record_hash = row[-3:]
    return StoredRecord(
        columns=dict(zip(RECORD_COLUMNS, record_columns, strict=True)),
        index_columns=dict(zip(INDEX_COLUMNS, index_columns, strict=True)),
        body=body,
        previous_hash=previous_hash,
        hash=record_hash,
        parts={name: (salt, content) for name, salt, content in parts},
    )


def _contents(connection: Connection, sql: Statements, place: tuple[str, str, int]) -> dict[str, bytes]:
    return _by_name(connection.execute(sql.parts.of_record, place))


def _by_name(parts: Iterable[Any]) -> dict[str, bytes]:
    return {name: content for name, _, content in parts}
