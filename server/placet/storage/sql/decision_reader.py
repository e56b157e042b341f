"""Read decisions and the trail, in whatever engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from placet.audit.decision_codec import recorded_decision
from placet.audit.records import DecisionPage
from placet.audit.verify_chain import StoredCheckpoint, StoredHead, StoredRecord
from placet.kernel.limits import PAGE_SIZE_MAX
from placet.storage.sql.paging import read_token, write_token
from placet.storage.sql.record_statements import INDEX_COLUMNS, RECORD_COLUMNS
from placet.storage.sql.schema import CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from placet.audit.records import DecisionQuery, RecordedDecision
    from placet.kernel.state import StateTable
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements import Statements

Place = tuple[int, str, int]
"""Where a page ended: recorded_at_us, writer, sequence."""
_SPLIT: Final = len(RECORD_COLUMNS)
RECORDS_AT_ONCE: Final = 200
"""Records whose parts are read together while a trail is verified: some megabytes at most, but few round trips."""


def load_decision(connection: Connection, sql: Statements, place: tuple[str, str, int]) -> RecordedDecision:
    """The decision at (tenant, writer, sequence). RecordDamagedError when what is there is none."""
    row = connection.execute(sql.records.body_at, place).fetchone()
    body, record_hash = row if row is not None else (b"", b"")
    return recorded_decision(body, _contents(connection, sql, place), record_hash)


@dataclass(frozen=True, slots=True)
class DecisionReader:
    """Reads decisions on a connection. RecordDamagedError when what is stored cannot be read."""

    connection: Connection
    sql: Statements

    def get(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """One decision of the tenant."""
        row = self.connection.execute(self.sql.records.decision, (tenant, decision_id)).fetchone()
        if row is None:
            return None
        writer, sequence, body, record_hash = row
        return recorded_decision(body, _contents(self.connection, self.sql, (tenant, writer, sequence)), record_hash)

    def page(self, query: DecisionQuery) -> DecisionPage:
        """A page, newest first. InvalidRequestError when its token is none."""
        conditions = {name: value for name in CONDITIONS if (value := getattr(query, name))}
        before = _before(query)
        size = min(query.page_size, PAGE_SIZE_MAX)
        sql = self.sql.records.page(
            tuple(conditions),
            from_us=bool(query.decided_from_us),
            before=before is not None,
        )
        times = [query.decided_from_us] if query.decided_from_us else []
        given = [query.tenant, *map(str, conditions.values()), *times, *(before or ()), size + 1]
        rows = self.connection.execute(sql, given).fetchall()
        shown = rows[:size]
        found = self.connection.fetch_lists(self.sql.parts.of_record, [(query.tenant, *row[1:3]) for row in shown])
        decisions = tuple(
            recorded_decision(row[3], _by_name(parts), row[4]) for row, parts in zip(shown, found, strict=True)
        )
        return DecisionPage(decisions, write_token(shown[-1][:3]) if len(rows) > size else "")


def _before(query: DecisionQuery) -> Place | None:
    """Where the page begins: one bound, since a second one on the time leads SQLite away from the condition's index."""
    bounds = [(query.decided_until_us, "", 0)] if query.decided_until_us else []
    if (token := place_before(query.page_token)) is not None:
        bounds.append(token)
    return min(bounds, default=None)


def place_before(token: str) -> Place | None:
    """Where the page before ended; None for the first. InvalidRequestError when the token is none of ours."""
    said = read_token(token, (int, str, int))
    return (said[0], said[1], said[2]) if said is not None else None


@dataclass(frozen=True, slots=True)
class StoredTrail:
    """The stored trail: a `placet.audit.verify_trail.Trail`. The caller holds one snapshot for as long as it reads."""

    connection: Connection
    sql: Statements

    def writers(self) -> list[Any]:
        """Every writer that anything is stored of."""
        return [writer for (writer,) in self.connection.execute(self.sql.chains.writers)]

    def head(self, writer: Any) -> StoredHead | None:  # noqa: ANN401 - as stored
        """Where the writer left its chain."""
        row = self.connection.execute(self.sql.chains.head, (writer,)).fetchone()
        return StoredHead(*row) if row is not None else None

    def records(self, writer: Any, after: int = 0) -> Iterator[StoredRecord]:  # noqa: ANN401 - as stored
        """The writer's records by sequence; of a chain whose beginning was checked, those after a place in it."""
        if after:
            rows = self.connection.stream(self.sql.records.of_writer_after, (writer, after))
        else:
            rows = self.connection.stream(self.sql.records.of_writer, (writer,))
        while some := list(islice(rows, RECORDS_AT_ONCE)):
            found = self.connection.fetch_lists(self.sql.parts.of_record, [row[:3] for row in some])
            for row, parts in zip(some, found, strict=True):
                yield _stored_record(row, parts)

    def checkpoints(self, writer: Any, after: int = 0) -> Iterator[StoredCheckpoint]:  # noqa: ANN401 - as stored
        """The writer's checkpoints by sequence, likewise."""
        if after:
            rows = self.connection.stream(self.sql.checkpoints.after, (writer, after))
        else:
            rows = self.connection.stream(self.sql.checkpoints.of_writer, (writer,))
        for row in rows:
            yield StoredCheckpoint(*row)

    def checkpoint_before(self, writer: str, sequence: int) -> StoredCheckpoint | None:
        """The writer's newest checkpoint at the sequence or before it."""
        row = self.connection.execute(self.sql.checkpoints.at_or_before, (writer, sequence)).fetchone()
        return StoredCheckpoint(*row) if row is not None else None

    def key(self, tenant: str, caller: str, idempotency_key: str) -> tuple[Any, ...] | None:
        """What is stored under an idempotency key."""
        given = (tenant, caller, idempotency_key)
        row: tuple[Any, ...] | None = self.connection.execute(self.sql.keys.stored, given).fetchone()
        return row

    def decision(self, tenant: str, decision_id: str) -> Any:  # noqa: ANN401 - as stored
        """The body of the record of a decision."""
        row = self.connection.execute(self.sql.records.decision, (tenant, decision_id)).fetchone()
        return row[2] if row is not None else None

    def parts_count(self) -> int:
        """How many parts are stored."""
        return int(self.connection.execute(self.sql.parts.count).fetchone()[0])

    def keys_count(self) -> int:
        """How many idempotency keys are stored."""
        return int(self.connection.execute(self.sql.keys.count).fetchone()[0])

    def rows(self, table: StateTable) -> Iterator[tuple[Any, ...]]:
        """All rows of a table."""
        return self.connection.stream(self.sql.state.all_rows(table), ())

    def counters(self) -> Iterator[tuple[Any, ...]]:
        """All counters."""
        return self.connection.stream(self.sql.state.all_counters, ())


def newest_checkpoints(connection: Connection, sql: Statements) -> list[Any]:
    """The newest checkpoint of each writer: writer, sequence, body, signature."""
    writers = connection.execute(sql.checkpoints.writers).fetchall()
    return connection.fetch_each(sql.checkpoints.newest, writers)


def _stored_record(row: Any, parts: Iterable[Any]) -> StoredRecord:  # noqa: ANN401 - as stored
    place, index_columns = row[:_SPLIT], row[_SPLIT:-3]
    body, previous_hash, record_hash = row[-3:]
    return StoredRecord(
        columns=dict(zip(RECORD_COLUMNS, place, strict=True)),
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
