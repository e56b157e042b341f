"""SQL, made once from the tables by SQLAlchemy Core and then run on the driver as text.

A look-up costs 10 us through Core or its `exec_driver_sql`, 1 us on the driver (measured with SQLite in memory): a
commit of 64 looks 64 keys up, and all it may cost beside the disk is 25 us each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, delete, func, insert, literal_column, select, tuple_, union, update

from placet.storage.sql.schema import (
    CONDITIONS,
    NEWEST,
    audit_checkpoints,
    audit_parts,
    audit_records,
    audit_writers,
    idempotency_keys,
)
from placet.storage.sql.state_statements import StateStatements

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select, Table
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql import ClauseElement

INDEX_COLUMNS: Final = ("decision_id", *CONDITIONS, "subject")
RECORD_COLUMNS: Final = ("tenant", "writer", "sequence", "kind", "recorded_at_us")
_records, _parts, _keys = audit_records.c, audit_parts.c, idempotency_keys.c
_writers, _checkpoints = audit_writers.c, audit_checkpoints.c
# Written out: an offset of its own would be one more parameter to give.
_NONE: Final[ColumnElement[int]] = literal_column("0")
_BEGINNING: Final[ColumnElement[int]] = literal_column("0")
_ONE: Final[ColumnElement[int]] = literal_column("1")


class Statements:
    """The statements in one dialect, with positional parameters. The names below say what to give, in order."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.state = StateStatements(dialect)
        # Rows to insert: all columns in the order of the table.
        self.insert_record = self._insert(audit_records)
        self.insert_part = self._insert(audit_parts)
        self.insert_key = self._insert(idempotency_keys)
        self.insert_writer = self._insert(audit_writers)
        self.insert_checkpoint = self._insert(audit_checkpoints)
        # tenant, caller, idempotency_key
        self.key = self._sql(
            select(
                _keys.request_digest,
                _keys.decision_id,
                _keys.writer,
                _keys.sequence,
                _keys.replaced_id,
                _keys.decided_at_us,
            ).where(*_given(_keys.tenant, _keys.caller, _keys.idempotency_key))
        )
        # tenant, caller, idempotency_key
        self.delete_key = self._sql(
            delete(idempotency_keys).where(*_given(_keys.tenant, _keys.caller, _keys.idempotency_key))
        )
        # tenant, caller, idempotency_key; the decision that it must still stand for
        self.delete_replaced = self._sql(
            delete(idempotency_keys).where(
                *_given(_keys.tenant, _keys.caller, _keys.idempotency_key, _keys.decision_id)
            )
        )
        # delete_key's three, and decided_at_us. before when, how many
        self.old_keys = self._sql(
            select(_keys.tenant, _keys.caller, _keys.idempotency_key, _keys.decided_at_us)
            .where(_keys.decided_at_us < bindparam("before"))
            .order_by(_keys.decided_at_us)
            .limit(bindparam("count"))
            .offset(_NONE)
            .with_for_update(skip_locked=True)  # two replicas sweep different ones
        )
        # writer, sequence, how many
        self.watched = self._sql(
            select(*_watched())
            .where(*_given(_records.writer), _records.subject.is_not(None), _records.sequence > bindparam("sequence"))
            .order_by(_records.sequence)
            .limit(bindparam("count"))
            .offset(_NONE)
        )
        # tenant, subject
        self.history = self._sql(
            select(*_watched())
            .where(*_given(_records.tenant, _records.subject))
            .order_by(*(audit_records.c[name] for name in NEWEST))
        )
        # nothing
        self.heads = self._sql(select(_writers.writer, _writers.head_sequence))
        # nothing
        self.newest_times = self._sql(
            select(_writers.writer, _records.recorded_at_us).join_from(
                audit_writers,
                audit_records,
                and_(_records.writer == _writers.writer, _records.sequence == _writers.head_sequence),
            )
        )
        # tenant, how many; tool
        newest = (
            select(_records.effect, _records.tool)
            .where(*_given(_records.tenant), _records.decision_id.is_not(None))
            .order_by(*(audit_records.c[name].desc() for name in NEWEST))
            .limit(bindparam("count"))
            .offset(_NONE)
            .subquery()
        )
        self.count_effects = self._sql(
            select(newest.c.effect, func.count()).where(newest.c.tool == bindparam("tool")).group_by(newest.c.effect)
        )
        # tenant, how many
        self.agents = self._sql(
            select(_records.agent)
            .where(
                *_given(_records.tenant),
                _records.decision_id.is_not(None),
                _records.recorded_at_us > _BEGINNING,  # so that it is found in the index that has the agents
            )
            .distinct()
            .limit(bindparam("count"))
            .offset(_NONE)
        )
        # new sequence, new hash, new checkpoint sequence; writer, old sequence, old hash
        self.move_head = self._sql(
            update(audit_writers)
            .values(
                head_sequence=bindparam("new_sequence"),
                head_hash=bindparam("new_hash"),
                checkpoint_sequence=bindparam("new_checkpoint"),
            )
            .where(*_given(_writers.writer, _writers.head_sequence, _writers.head_hash))
        )
        # writer
        self.head = self._sql(
            select(_writers.head_sequence, _writers.head_hash, _writers.checkpoint_sequence).where(
                *_given(_writers.writer)
            )
        )
        # writer, sequence
        self.since = self._sql(
            select(_records.sequence, _records.body, _records.hash)
            .where(*_given(_records.writer), _records.sequence > bindparam("sequence"))
            .order_by(_records.sequence)
        )
        # writer
        self.newest_checkpoint = self._sql(
            self._checkpoints().order_by(_checkpoints.sequence.desc()).limit(_ONE).offset(_NONE)
        )
        self.checkpoints = self._sql(self._checkpoints().order_by(_checkpoints.sequence))
        # writer, sequence
        self.record_hash = self._sql(select(_records.hash).where(*_given(_records.writer, _records.sequence)))
        self.checkpoint = self._sql(self._checkpoints().where(*_given(_checkpoints.sequence)))
        self.checkpoints_after = self._sql(
            self._checkpoints().where(_checkpoints.sequence > bindparam("sequence")).order_by(_checkpoints.sequence)
        )
        self.checkpoint_before = self._sql(
            self._checkpoints()
            .where(_checkpoints.sequence <= bindparam("sequence"))
            .order_by(_checkpoints.sequence.desc())
            .limit(_ONE)
            .offset(_NONE)
        )
        # tenant, writer, sequence
        self.record = self._sql(
            select(_records.body, _records.hash).where(*_given(_records.tenant, _records.writer, _records.sequence))
        )
        self.parts = self._sql(
            select(_parts.name, _parts.salt, _parts.content).where(
                *_given(_parts.tenant, _parts.writer, _parts.sequence)
            )
        )
        # tenant, decision_id
        self.decision = self._sql(
            select(_records.writer, _records.sequence, _records.body, _records.hash).where(
                *_given(_records.tenant, _records.decision_id)
            )
        )
        # nothing
        self.writers = self._sql(
            union(select(_records.writer), select(_writers.writer), select(_checkpoints.writer), select(_parts.writer))
        )
        self.signers = self._sql(select(_checkpoints.writer).distinct())
        self.parts_count = self._sql(select(func.count()).select_from(audit_parts))
        self.keys_count = self._sql(select(func.count()).select_from(idempotency_keys))
        # writer
        self.records = self._sql(_whole_records().order_by(_records.sequence))
        # writer, sequence
        self.records_after = self._sql(
            _whole_records().where(_records.sequence > bindparam("sequence")).order_by(_records.sequence)
        )

    @lru_cache(maxsize=512)  # noqa: B019 - there is one such object for each database
    def page(self, conditions: tuple[str, ...], *, from_us: bool, before: bool) -> str:
        """Decisions newest first. tenant, the conditions, [from], [the three of NEWEST], how many."""
        place = [audit_records.c[name] for name in NEWEST]
        wanted: list[ColumnElement[bool]] = _given(_records.tenant, *(audit_records.c[name] for name in conditions))
        wanted.append(_records.decision_id.is_not(None))
        if from_us:
            wanted.append(_records.recorded_at_us >= bindparam("from_us"))
        if before:
            wanted.append(tuple_(*place) < tuple_(*(bindparam(f"before_{name}") for name in NEWEST)))
        found = select(*place, _records.body, _records.hash).where(*wanted)
        return self._sql(found.order_by(*(column.desc() for column in place)).limit(bindparam("count")).offset(_NONE))

    def log(self, *, tenant: bool, kinds: int, from_us: bool) -> str:
        """Records newest first. [tenant], so many kinds, [from], how many."""
        wanted: list[ColumnElement[bool]] = _given(_records.tenant) if tenant else []
        if kinds:
            wanted.append(_records.kind.in_([bindparam(f"kind_{number}") for number in range(kinds)]))
        if from_us:
            wanted.append(_records.recorded_at_us >= bindparam("from_us"))
        found = select(_records.tenant, _records.writer, _records.sequence, _records.body).where(*wanted)
        newest = (audit_records.c[name].desc() for name in NEWEST)
        return self._sql(found.order_by(*newest).limit(bindparam("count")).offset(_NONE))

    @staticmethod
    def _checkpoints() -> Select[Any]:
        return select(audit_checkpoints).where(*_given(_checkpoints.writer))

    def _insert(self, table: Table) -> str:
        return self._sql(insert(table))

    def _sql(self, statement: ClauseElement) -> str:
        return str(statement.compile(dialect=self._dialect))


def _whole_records() -> Select[Any]:
    columns = (audit_records.c[name] for name in (*RECORD_COLUMNS, *INDEX_COLUMNS))
    return select(*columns, _records.body, _records.previous_hash, _records.hash).where(*_given(_records.writer))


def _watched() -> list[ColumnElement[Any]]:
    return [_records.writer, _records.sequence, _records.tenant, _records.kind, _records.subject, _records.body]


def _given(*columns: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    return [column == bindparam(None, type_=column.type) for column in columns]
