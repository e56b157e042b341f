"""Reads and writes rows and counters within a transaction, on any engine."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.state import (
    ZERO_USAGE,
    CounterKey,
    CounterRow,
    Row,
    RowKey,
    RowPage,
    Snapshot,
    StateTable,
    Usage,
    WindowTotal,
)
from placet.storage.sql.paging import next_token, place_before
from placet.storage.sql.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from placet.kernel.state import ReadSet, RowQuery
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.statements.bulk import Bulk, BulkStatements
    from placet.storage.sql.statements.dialect import Statements
    from placet.storage.sql.statements.state import StateStatements
    from placet.storage.sql.unit_of_work import WriteSet
    from placet.storage.state_cache import StateCache


class StateTables(Struct, frozen=True):
    """Reads and writes state on a connection."""

    connection: Connection
    statements: Statements
    cache: StateCache | None = None
    """What a transaction need not read, and where it stages what it read and wrote."""

    @property
    def sql(self) -> StateStatements:
        """The statements on rows and counters."""
        return self.statements.state

    @property
    def _bulk(self) -> BulkStatements:
        return self.statements.bulk

    def load(self, write_set: WriteSet, now_us: int) -> UnitOfWork:
        """Load the state that commitments use. Locks what they write, in key order, until the transaction ends."""
        if self.cache is not None:
            return self._load_cached(self.cache, write_set, now_us)
        counter_keys = sorted(write_set.counters)
        if self.sql.locks and counter_keys:
            zero = (0, 0, now_us, now_us, 0)
            ensured = [value for key in counter_keys for value in (*key, *zero)]
            self.connection.write_rows(self._bulk.ensure_counters, ensured)
        rows = dict(self._rows(sorted(write_set.written), locked=True))
        counters = dict(self._counters(counter_keys, self._bulk.counters_locked))
        if self.sql.locks:
            self._hold_controls(write_set)
        rows.update(self._rows(sorted(write_set.compared), locked=False))  # after all locks are held
        return UnitOfWork(rows, counters, now_us)

    def _load_cached(self, cache: StateCache, write_set: WriteSet, now_us: int) -> UnitOfWork:
        """Load what the cache lacks, and stage it. There are no locks: nothing else writes during the transaction."""
        keys = [*write_set.written, *write_set.compared]
        rows, counters = cache.rows(keys), cache.counters(write_set.counters)
        missing = [key for key in keys if key not in rows]
        missing_counters = [key for key in write_set.counters if key not in counters]
        if missing or missing_counters:
            read_rows: dict[RowKey, Row | None] = dict.fromkeys(missing)
            read_rows.update(self._rows(sorted(missing), locked=False))
            read_counters = dict.fromkeys(missing_counters, ZERO_USAGE)
            read_counters.update(self._counters(missing_counters, self._bulk.counters))
            cache.stage(read_rows, read_counters)
            rows.update(read_rows)
            counters.update(read_counters)
        return UnitOfWork({key: row for key, row in rows.items() if row is not None}, counters, now_us)

    def read(self, read_set: ReadSet) -> Snapshot:
        """Return the requested state as it was last committed."""
        rows = self._rows(sorted(set(read_set.rows)), locked=False)
        return Snapshot(dict(rows), dict(self._counters(sorted(set(read_set.counters)), self._bulk.counters)))

    def save(self, unit: UnitOfWork, now_us: int) -> None:
        """Write the changed rows and counters."""
        for table, items in groupby(sorted(unit.rows.items()), key=lambda item: item[0].table):
            self._put(table, [(row, unit.read_version(key)) for key, row in items])
        counters: list[Any] = []
        for key, (used, reserved, created_at_us, resets_at_us) in unit.counters.items():
            counters += (*key, used, reserved, created_at_us, now_us, resets_at_us)
        if self.cache is not None:
            moved = {key: Usage(used, reserved, created) for key, (used, reserved, created, _) in unit.counters.items()}
            self.cache.stage(unit.rows, moved)
        if counters:
            self.connection.write_rows(self._bulk.save_counters, counters)

    def page(self, query: RowQuery) -> RowPage:
        """Return rows, newest first. Raises InvalidRequestError when the page token is invalid."""
        before = place_before(query.page_token)
        sql = self.sql.page(query.table, status=bool(query.status), before=before is not None)
        statuses = (query.status,) if query.status else ()
        size = min(query.page_size, PAGE_SIZE_MAX)
        parameters = (query.tenant, *statuses, *(before or ()), size + 1)
        matches = [
            _row(RowKey(query.table, query.tenant, row_id), columns)
            for row_id, *columns in self.connection.execute(sql, parameters).fetchall()
        ]
        shown = matches[:size]
        return RowPage(tuple(shown), next_token(shown[-1]) if len(matches) > len(shown) else "")

    def tenants_with(self, table: StateTable, status: str) -> list[str]:
        """Return the tenants that have a row with the status, sorted."""
        tenants = self.connection.execute(self.sql.tenants_with(table), (status,)).fetchall()
        return sorted(tenant for (tenant,) in tenants)

    def due(self, table: StateTable, until_us: int, count: int) -> list[Row]:
        """Return the rows that are due, the earliest first."""
        matches = self.connection.execute(self.sql.due(table), (until_us, count)).fetchall()
        return [_row(RowKey(table, tenant, row_id), columns) for tenant, row_id, *columns in matches]

    def count_due(self, table: StateTable) -> int:
        """Return how many rows have a due time."""
        return int(self.connection.execute(self.sql.count_due(table)).fetchone()[0])

    def top_counters(self, window: tuple[str, str, str, str], count: int) -> list[CounterRow]:
        """Return the largest counters in a window, which is tenant, budget_id, unit, window_key."""
        matches = self.connection.execute(self.sql.top_counters, (*window, count)).fetchall()
        return [
            CounterRow(CounterKey(*window, scope_key), Usage(*usage), resets_at_us)
            for scope_key, *usage, resets_at_us in matches
        ]

    def totals(self, tenant: str, budget_id: str, count: int) -> list[WindowTotal]:
        """Return sums of a budget's counters by unit and window. PostgreSQL returns sums as decimals."""
        matches = self.connection.execute(self.sql.totals, (tenant, budget_id, count)).fetchall()
        return [WindowTotal(unit, window_key, *map(int, sums)) for unit, window_key, *sums in matches]

    def budget_ids_with_usage(self, tenant: str, count: int) -> list[str]:
        """Return the ids of the tenant's budgets that have counters, sorted."""
        matches = self.connection.execute(self.sql.budget_ids_with_usage, (tenant, tenant, count)).fetchall()
        return [budget_id for (budget_id,) in matches]

    def _hold_controls(self, write_set: WriteSet) -> None:
        """Keep controls and decisions apart until the transaction ends: PostgreSQL only.

        Decisions share a lock, and a change of controls excludes them. So a person who has set a kill switch sees every
        allow that was committed before it. This is the last lock that a transaction takes.
        """
        if any(key.table is StateTable.CONTROL_VERSIONS for key in write_set.written):
            self.connection.execute(self.sql.change_controls)
        elif any(key.table is StateTable.CONTROL_VERSIONS for key in write_set.compared):
            self.connection.execute(self.sql.rest_on_controls)

    def _rows(self, keys: Sequence[RowKey], *, locked: bool) -> Iterator[tuple[RowKey, Row]]:
        for table, group in groupby(keys, key=lambda key: key.table):
            table_keys = list(group)
            matches = self.connection.look_up(
                self._bulk.rows(table, locked=locked), [(key.tenant, key.id) for key in table_keys]
            )
            for key, columns in zip(table_keys, matches, strict=True):
                if columns is not None:
                    yield key, _row(key, columns)

    def _counters(self, keys: Sequence[CounterKey], statement: Bulk) -> Iterator[tuple[CounterKey, Usage]]:
        matches = self.connection.look_up(statement, keys)
        for key, usage in zip(keys, matches, strict=True):
            if usage is not None:
                yield key, Usage(*usage)

    def _put(self, table: StateTable, written: Sequence[tuple[Row, int]]) -> None:
        """Insert or update rows. Each comes with the version that was read."""
        inserts: list[Any] = []
        updates: list[Any] = []
        for row, read_version in written:
            key = (row.key.tenant, row.key.id)
            columns = (row.version, row.status, row.created_at_us, row.due_at_us or None, row.body)
            if read_version:
                updates += (*columns, *key, read_version)
            else:
                inserts += (*key, *columns)
        if inserts:
            self.connection.write_rows(self._bulk.insert_rows(table), inserts)
        if updates:
            self.connection.write_rows(self._bulk.update_rows(table), updates)


def _row(key: RowKey, columns: Iterable[Any]) -> Row:
    version, status, created_at_us, due_at_us, body = columns
    return Row(key, status, created_at_us, body, due_at_us or 0, version)
