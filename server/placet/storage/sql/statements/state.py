"""SQL for rows and counters."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, bindparam, cast, func, select, tuple_

from placet.storage.sql.schema import counters, rows
from placet.storage.sql.statements.bulk import COUNTER_KEY, ROW_COLUMNS
from placet.storage.sql.statements.text import equals, first, to_text

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Dialect

    from placet.kernel.state import StateTable

COUNTER_SHOWN: Final = ("scope_key", "used", "reserved", "created_at_us", "resets_at_us")
"""Columns of a counter that a query of one window returns."""
_CONTROLS_LOCK: Final = 7_069_637_011
"""The number of an advisory lock in PostgreSQL. The numbers in `postgres_locks` are digests of names."""
_KEY: Final = [counters.c[name] for name in COUNTER_KEY]
_WINDOW: Final = (counters.c.unit, counters.c.window_key)


class StateStatements:
    """Statements on the tables of rows and on the table counters. A counter's key is COUNTER_KEY."""

    def __init__(self, dialect: Dialect) -> None:
        self._text = text = to_text(dialect)
        self.locks = dialect.name == "postgresql"
        """Whether other processes write at the same time. Then a counter must exist before it can be locked."""
        self.rest_on_controls = f"SELECT pg_advisory_xact_lock_shared({_CONTROLS_LOCK})"
        """PostgreSQL only. Taken by decisions until the end of the transaction; shared by many. No parameters."""
        self.change_controls = f"SELECT pg_advisory_xact_lock({_CONTROLS_LOCK})"
        """PostgreSQL only. Taken by changes of controls, excluding all decisions. No parameters."""
        self.all_counters = text(select(*_KEY, *(counters.c[name] for name in COUNTER_SHOWN[1:])))
        """The key, used, reserved, created_at_us, resets_at_us of all counters. No parameters."""
        self.top_counters = text(first(_largest_counters()))
        """COUNTER_SHOWN of the largest counters. Parameters: tenant, budget_id, unit, window_key, how many."""
        self.totals = text(first(_window_totals()))
        """unit, window_key, sums of used and reserved, count of counters, latest resets_at_us of each window.

        Parameters: tenant, budget_id, how many.
        """
        self.budget_ids_with_usage = text(first(_budget_ids()))
        """budget_id. Parameters: tenant, tenant, how many."""

    def all_rows(self, kind: StateTable) -> str:
        """Return the query of every row: tenant, id, ROW_COLUMNS. No parameters."""
        return self._text(_rows(kind))

    @lru_cache(maxsize=64)  # noqa: B019 - there is one such object for each database
    def page(self, kind: StateTable, *, status: bool, before: bool) -> str:
        """Return the query of rows, newest first: id, ROW_COLUMNS.

        Parameters: tenant, [status], [created_at_us and id before which the page begins], how many.
        """
        table = rows[kind]
        position = (table.c.created_at_us, table.c.id)
        where = equals(table.c.tenant, *((table.c.status,) if status else ()))
        if before:
            where.append(tuple_(*position) < tuple_(bindparam("before_us"), bindparam("before_id")))
        query = select(table.c.id, *(table.c[name] for name in ROW_COLUMNS)).where(*where)
        return self._text(first(query.order_by(*(column.desc() for column in position))))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def tenants_with(self, kind: StateTable) -> str:
        """Return the query of the tenants that have a row with the status. Parameters: status."""
        table = rows[kind]
        return self._text(select(table.c.tenant).where(*equals(table.c.status)).distinct())

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def due(self, kind: StateTable) -> str:
        """Return the query of due rows, the earliest first: tenant, id, ROW_COLUMNS. Parameters: until, how many."""
        due_at_us = rows[kind].c.due_at_us
        where = (due_at_us.is_not(None), due_at_us <= bindparam("until"))
        return self._text(first(_rows(kind).where(*where).order_by(due_at_us)))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def count_due(self, kind: StateTable) -> str:
        """Return the query of how many rows have a due time. No parameters."""
        return self._text(select(func.count()).select_from(rows[kind]).where(rows[kind].c.due_at_us.is_not(None)))


def _rows(kind: StateTable) -> Select[Any]:
    table = rows[kind]
    return select(table.c.tenant, table.c.id, *(table.c[name] for name in ROW_COLUMNS))


def _largest_counters() -> Select[Any]:
    return (
        select(*(counters.c[name] for name in COUNTER_SHOWN))
        .where(*equals(*_KEY[:-1]))
        .order_by((counters.c.used + counters.c.reserved).desc(), counters.c.scope_key)
    )


def _window_totals() -> Select[Any]:
    sums = (
        cast(func.sum(counters.c.used), BigInteger),  # PostgreSQL's sums are decimals
        cast(func.sum(counters.c.reserved), BigInteger),
        func.count(),
        func.max(counters.c.resets_at_us),
    )
    return (
        select(*_WINDOW, *sums)
        .where(*equals(counters.c.tenant, counters.c.budget_id))
        .group_by(*_WINDOW)
        .order_by(*(column.desc() for column in _WINDOW))
    )


def _budget_ids() -> Select[Any]:
    """Find the distinct ids by steps from one to the next: one look-up each, however many counters an id has."""
    next_id = select(func.min(counters.c.budget_id).label("id")).where(*equals(counters.c.tenant))
    ids = next_id.cte("ids", recursive=True)
    after = next_id.where(counters.c.budget_id > ids.c.id).correlate(ids).scalar_subquery()
    ids = ids.union_all(select(after).where(ids.c.id.is_not(None)))
    return select(ids.c.id).where(ids.c.id.is_not(None))
