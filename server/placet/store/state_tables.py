"""Rows and counters within a transaction, in whatever engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from placet.core.changes import Known, Row, RowKey, RowPage, Usage
from placet.store.paging import next_token, place_before
from placet.store.working import Working

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from placet.core.changes import CounterKey, Kept, RowQuery, Wanted
    from placet.store.driver import Connection
    from placet.store.state_sql import StateStatements
    from placet.store.working import Touched


@dataclass(frozen=True, slots=True)
class StateTables:
    """Reads and writes state on a connection."""

    connection: Connection
    sql: StateStatements

    def load(self, what: Touched, now_us: int) -> Working:
        """What commitments touch. What is to be written is locked, in order, until the transaction ends."""
        if self.sql.locks and what.counters:
            zero = (0, 0, now_us, now_us, 0)
            self.connection.executemany(self.sql.ensure_counter, [(*_counter(key), *zero) for key in what.counters])
        rows = dict(self._rows(what.written, locked=True))
        rows.update(self._rows(what.compared, locked=False))
        return Working(rows, dict(self._counters(what.counters, self.sql.counter_locked)), now_us)

    def read(self, wanted: Wanted) -> Known:
        """What is asked for, as it was last committed."""
        rows = self._rows(sorted(set(wanted.rows)), locked=False)
        return Known(dict(rows), dict(self._counters(sorted(set(wanted.counters)), self.sql.counter)))

    def save(self, working: Working, now_us: int) -> None:
        """Write what was changed."""
        for row in working.rows.values():
            self._put(row, working.read_version(row.key))
        moved = [
            (*_counter(key), usage.used, usage.reserved, usage.created_at_us, now_us, resets_at_us)
            for key, (usage, resets_at_us) in working.counters.items()
        ]
        if moved:
            self.connection.executemany(self.sql.save_counter, moved)

    def page(self, query: RowQuery) -> RowPage:
        """Rows, newest first. InvalidRequestError when the token is none."""
        before = place_before(query.page_token)
        sql = self.sql.page(query.table, status=bool(query.status), before=before is not None)
        statuses = (query.status,) if query.status else ()
        given = (query.tenant, *statuses, *(before or ()), query.page_size + 1)
        found = [
            _row(RowKey(query.table, query.tenant, row_id), said)
            for row_id, *said in self.connection.execute(sql, given).fetchall()
        ]
        shown = found[: query.page_size]
        return RowPage(tuple(shown), next_token(shown[-1]) if len(found) > len(shown) else "")

    def due(self, table: Kept, until_us: int, count: int) -> list[Row]:
        """Rows that are due, the earliest first."""
        found = self.connection.execute(self.sql.due(table), (until_us, count)).fetchall()
        return [_row(RowKey(table, tenant, row_id), said) for tenant, row_id, *said in found]

    def _rows(self, keys: Sequence[RowKey], *, locked: bool) -> Iterator[tuple[RowKey, Row]]:
        for table, some in groupby(keys, key=lambda key: key.table):
            wanted = list(some)
            found = self.connection.fetch_each(
                self.sql.row(table, locked=locked), [(key.tenant, key.id) for key in wanted]
            )
            for key, said in zip(wanted, found, strict=True):
                if said is not None:
                    yield key, _row(key, said)

    def _counters(self, keys: Sequence[CounterKey], sql: str) -> Iterator[tuple[CounterKey, Usage]]:
        found = self.connection.fetch_each(sql, [_counter(key) for key in keys])
        for key, said in zip(keys, found, strict=True):
            if said is not None:
                yield key, Usage(*said)

    def _put(self, row: Row, read_version: int) -> None:
        key, due_at_us = row.key, row.due_at_us or None
        if read_version:
            moved = (row.version, row.status, due_at_us, row.body, key.tenant, key.id, read_version)
            self.connection.execute(self.sql.update_row(key.table), moved)
        else:
            made = (key.tenant, key.id, row.version, row.status, row.created_at_us, due_at_us, row.body)
            self.connection.execute(self.sql.insert_row(key.table), made)


def _counter(key: CounterKey) -> tuple[str, ...]:
    return (key.tenant, key.budget_id, key.unit, key.window_key, key.scope_key)


def _row(key: RowKey, said: Iterable[Any]) -> Row:
    version, status, created_at_us, due_at_us, body = said
    return Row(key, status, created_at_us, body, due_at_us or 0, version)
