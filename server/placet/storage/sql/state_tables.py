"""Rows and counters within a transaction, in whatever engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.state import CounterKey, CounterRow, Row, RowKey, RowPage, Snapshot, StateTable, Usage, WindowTotal
from placet.storage.sql.paging import next_token, place_before
from placet.storage.sql.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from placet.kernel.state import ReadSet, RowQuery
    from placet.storage.sql.driver import Connection
    from placet.storage.sql.state_statements import StateStatements
    from placet.storage.sql.unit_of_work import WriteSet


@dataclass(frozen=True, slots=True)
class StateTables:
    """Reads and writes state on a connection."""

    connection: Connection
    sql: StateStatements

    def load(self, what: WriteSet, now_us: int) -> UnitOfWork:
        """What commitments touch. What is to be written is locked, in order, until the transaction ends."""
        if self.sql.locks and what.counters:
            zero = (0, 0, now_us, now_us, 0)
            self.connection.executemany(self.sql.ensure_counter, [(*key, *zero) for key in what.counters])
        rows = dict(self._rows(what.written, locked=True))
        counters = dict(self._counters(what.counters, self.sql.counter_locked))
        if self.sql.locks:
            self._hold_controls(what)
        rows.update(self._rows(what.compared, locked=False))  # when no lock is waited for any longer
        return UnitOfWork(rows, counters, now_us)

    def read(self, wanted: ReadSet) -> Snapshot:
        """What is asked for, as it was last committed."""
        rows = self._rows(sorted(set(wanted.rows)), locked=False)
        return Snapshot(dict(rows), dict(self._counters(sorted(set(wanted.counters)), self.sql.counter)))

    def save(self, working: UnitOfWork, now_us: int) -> None:
        """Write what was changed."""
        for table, some in groupby(sorted(working.rows.items()), key=lambda item: item[0].table):
            self._put(table, [(row, working.read_version(key)) for key, row in some])
        moved = [
            (*key, used, reserved, created_at_us, now_us, resets_at_us)
            for key, (used, reserved, created_at_us, resets_at_us) in working.counters.items()
        ]
        if moved:
            self.connection.executemany(self.sql.save_counter, moved)

    def page(self, query: RowQuery) -> RowPage:
        """Rows, newest first. InvalidRequestError when the token is none."""
        before = place_before(query.page_token)
        sql = self.sql.page(query.table, status=bool(query.status), before=before is not None)
        statuses = (query.status,) if query.status else ()
        size = min(query.page_size, PAGE_SIZE_MAX)
        given = (query.tenant, *statuses, *(before or ()), size + 1)
        found = [
            _row(RowKey(query.table, query.tenant, row_id), said)
            for row_id, *said in self.connection.execute(sql, given).fetchall()
        ]
        shown = found[:size]
        return RowPage(tuple(shown), next_token(shown[-1]) if len(found) > len(shown) else "")

    def tenants_with(self, table: StateTable, status: str) -> list[str]:
        """Tenants that have a row with the status, in their order."""
        found = self.connection.execute(self.sql.tenants_with(table), (status,)).fetchall()
        return sorted(tenant for (tenant,) in found)

    def due(self, table: StateTable, until_us: int, count: int) -> list[Row]:
        """Rows that are due, the earliest first."""
        found = self.connection.execute(self.sql.due(table), (until_us, count)).fetchall()
        return [_row(RowKey(table, tenant, row_id), said) for tenant, row_id, *said in found]

    def count_due(self, table: StateTable) -> int:
        """How many rows are due at any time."""
        return int(self.connection.execute(self.sql.count_due(table)).fetchone()[0])

    def top_counters(self, window: tuple[str, str, str, str], count: int) -> list[CounterRow]:
        """The largest counters in a window: tenant, budget_id, unit, window_key."""
        found = self.connection.execute(self.sql.top_counters, (*window, count)).fetchall()
        return [
            CounterRow(CounterKey(*window, scope_key), Usage(*usage), resets_at_us)
            for scope_key, *usage, resets_at_us in found
        ]

    def totals(self, tenant: str, budget_id: str, count: int) -> list[WindowTotal]:
        """What a budget's counters hold together, by unit and window. PostgreSQL gives sums as decimals."""
        found = self.connection.execute(self.sql.totals, (tenant, budget_id, count)).fetchall()
        return [WindowTotal(unit, window_key, *map(int, sums)) for unit, window_key, *sums in found]

    def budget_ids_with_usage(self, tenant: str, count: int) -> list[str]:
        """Ids of the tenant's budgets that have counters, in their order."""
        found = self.connection.execute(self.sql.budget_ids_with_usage, (tenant, tenant, count)).fetchall()
        return [budget_id for (budget_id,) in found]

    def _hold_controls(self, what: WriteSet) -> None:
        """Until the transaction ends nobody changes what its decisions rest on; or nobody decides while it is changed.

        So whoever has set a kill switch sees each allow that came before it. The last lock that everybody takes.
        """
        if any(key.table is StateTable.CONTROL_VERSIONS for key in what.written):
            self.connection.execute(self.sql.change_controls)
        elif any(key.table is StateTable.CONTROL_VERSIONS for key in what.compared):
            self.connection.execute(self.sql.rest_on_controls)

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
        found = self.connection.fetch_each(sql, keys)
        for key, said in zip(keys, found, strict=True):
            if said is not None:
                yield key, Usage(*said)

    def _put(self, table: StateTable, written: Sequence[tuple[Row, int]]) -> None:
        """Write rows that were read at the versions beside them."""
        made, moved = [], []
        for row, read_version in written:
            place = (row.key.tenant, row.key.id)
            said = (row.version, row.status, row.created_at_us, row.due_at_us or None, row.body)
            if read_version:
                moved.append((*said, *place, read_version))
            else:
                made.append((*place, *said))
        if made:
            self.connection.executemany(self.sql.insert_row(table), made)
        if moved:
            self.connection.executemany(self.sql.update_row(table), moved)


def _row(key: RowKey, said: Iterable[Any]) -> Row:
    version, status, created_at_us, due_at_us, body = said
    return Row(key, status, created_at_us, body, due_at_us or 0, version)
