"""SQL for rows and counters, made once in one dialect as `placet.storage.sql.statements` does it for the trail."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, bindparam, cast, func, insert, literal_column, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from placet.storage.sql.schema import counters, rows

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql import ClauseElement

    from placet.kernel.state import StateTable

ROW_COLUMNS: Final = ("version", "status", "created_at_us", "due_at_us", "body")
COUNTER_SHOWN: Final = ("scope_key", "used", "reserved", "created_at_us", "resets_at_us")
COUNTER_KEY: Final = ("tenant", "budget_id", "unit", "window_key", "scope_key")
_NONE: Final[ColumnElement[int]] = literal_column("0")
_CONTROLS_LOCK: Final = 7_069_637_011
"""An advisory lock of PostgreSQL, which only its number names; those of `postgres_locks` are digests."""
_COUNTER_MOVED: Final = ("used", "reserved", "moved_at_us", "resets_at_us")


class StateStatements:
    """The statements, with positional parameters. The comments say what to give, in order."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.locks = dialect.name == "postgresql"
        """Whether others write at the same time: a counter must be there before it can be locked."""
        upsert = postgresql.insert if self.locks else sqlite.insert
        # of PostgreSQL alone: many may rest on what one may change, until the end of the transaction
        self.rest_on_controls = f"SELECT pg_advisory_xact_lock_shared({_CONTROLS_LOCK})"
        self.change_controls = f"SELECT pg_advisory_xact_lock({_CONTROLS_LOCK})"
        key = [counters.c[name] for name in COUNTER_KEY]
        found = select(counters.c.used, counters.c.reserved, counters.c.created_at_us).where(*_given(*key))
        # the five of the key
        self.counter = self._sql(found)
        self.counter_locked = self._sql(found.with_for_update())
        # all columns
        self.ensure_counter = self._sql(upsert(counters).on_conflict_do_nothing())
        self.save_counter = self._sql(
            (made := upsert(counters)).on_conflict_do_update(
                index_elements=key, set_={name: made.excluded[name] for name in _COUNTER_MOVED}
            )
        )
        # nothing
        self.all_counters = self._sql(select(*key, *(counters.c[name] for name in COUNTER_SHOWN[1:])))
        # COUNTER_SHOWN. tenant, budget_id, unit, window_key, how many
        self.top_counters = self._sql(
            select(*(counters.c[name] for name in COUNTER_SHOWN))
            .where(*_given(*key[:-1]))
            .order_by((counters.c.used + counters.c.reserved).desc(), counters.c.scope_key)
            .limit(bindparam("count"))
            .offset(_NONE)
        )
        # unit, window_key, sums, how many counters, when the last of them ends. tenant, budget_id, how many
        window = (counters.c.unit, counters.c.window_key)
        sums = (
            cast(func.sum(counters.c.used), BigInteger),  # PostgreSQL's sums are decimals
            cast(func.sum(counters.c.reserved), BigInteger),
            func.count(),
            func.max(counters.c.resets_at_us),
        )
        self.totals = self._sql(
            select(*window, *sums)
            .where(*_given(counters.c.tenant, counters.c.budget_id))
            .group_by(*window)
            .order_by(*(column.desc() for column in window))
            .limit(bindparam("count"))
            .offset(_NONE)
        )
        # budget_id. tenant, tenant, how many. From each id to the next: one look for each, however many counters it has
        next_id = select(func.min(counters.c.budget_id).label("id")).where(*_given(counters.c.tenant))
        ids = next_id.cte("ids", recursive=True)
        after = next_id.where(counters.c.budget_id > ids.c.id).correlate(ids).scalar_subquery()
        ids = ids.union_all(select(after).where(ids.c.id.is_not(None)))
        self.budget_ids_with_usage = self._sql(
            select(ids.c.id).where(ids.c.id.is_not(None)).limit(bindparam("count")).offset(_NONE)
        )

    @lru_cache(maxsize=64)  # noqa: B019 - there is one such object for each database
    def row(self, kept: StateTable, *, locked: bool) -> str:
        """ROW_COLUMNS of one row. tenant, id."""
        table = rows[kept]
        found = select(*(table.c[name] for name in ROW_COLUMNS)).where(*_given(table.c.tenant, table.c.id))
        return self._sql(found.with_for_update() if locked else found)

    def all_rows(self, kept: StateTable) -> str:
        """Every row: tenant, id, ROW_COLUMNS. Nothing to give."""
        table = rows[kept]
        return self._sql(select(table.c.tenant, table.c.id, *(table.c[name] for name in ROW_COLUMNS)))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def insert_row(self, kept: StateTable) -> str:
        """A new row. All columns in the order of the table."""
        return self._sql(insert(rows[kept]))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def update_row(self, kept: StateTable) -> str:
        """The next version. version, status, created_at_us, due_at_us, body; tenant, id, the version before."""
        table = rows[kept]
        names = ("version", "status", "created_at_us", "due_at_us", "body")
        changed = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        return self._sql(update(table).values(changed).where(*_given(table.c.tenant, table.c.id, table.c.version)))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def page(self, kept: StateTable, *, status: bool, before: bool) -> str:
        """Rows newest first. tenant, [status], [created_at_us, id of the one before], how many."""
        table = rows[kept]
        place = (table.c.created_at_us, table.c.id)
        wanted = _given(table.c.tenant, *((table.c.status,) if status else ()))
        if before:
            wanted.append(tuple_(*place) < tuple_(bindparam("before_us"), bindparam("before_id")))
        found = select(table.c.id, *(table.c[name] for name in ROW_COLUMNS)).where(*wanted)
        return self._sql(found.order_by(*(column.desc() for column in place)).limit(bindparam("count")).offset(_NONE))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def tenants_with(self, kept: StateTable) -> str:
        """Each tenant that has a row with the status. status."""
        table = rows[kept]
        return self._sql(select(table.c.tenant).where(*_given(table.c.status)).distinct())

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def due(self, kept: StateTable) -> str:
        """What is due, the earliest first. until when, how many."""
        table = rows[kept]
        found = select(table.c.tenant, table.c.id, *(table.c[name] for name in ROW_COLUMNS))
        due = table.c.due_at_us
        wanted = (due.is_not(None), due <= bindparam("until"))
        return self._sql(found.where(*wanted).order_by(due).limit(bindparam("count")).offset(_NONE))

    @lru_cache(maxsize=64)  # noqa: B019 - likewise
    def count_due(self, kept: StateTable) -> str:
        """How many rows are due at any time. Nothing to give."""
        return self._sql(select(func.count()).select_from(rows[kept]).where(rows[kept].c.due_at_us.is_not(None)))

    def _sql(self, statement: ClauseElement) -> str:
        return str(statement.compile(dialect=self._dialect))


def _given(*columns: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    return [column == bindparam(None, type_=column.type) for column in columns]
