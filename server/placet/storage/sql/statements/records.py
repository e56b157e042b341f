"""SQL for records and their parts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, exists, func, literal_column, or_, select, tuple_

from placet.storage.sql.schema import CONDITIONS, NEWEST, audit_parts, audit_records
from placet.storage.sql.statements.text import equals, first, holds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Select

    from placet.storage.sql.statements.text import ToText

INDEX_COLUMNS: Final = ("decision_id", *CONDITIONS, "subject")
"""Columns that records are searched by."""
RECORD_COLUMNS: Final = ("tenant", "writer", "sequence", "kind", "recorded_at_us")
"""Columns that are copied from the body of every record."""
_records, _parts = audit_records.c, audit_parts.c
_BEGINNING: Final[ColumnElement[int]] = literal_column("0")


class RecordStatements:
    """Statements on the table audit_records."""

    def __init__(self, text: ToText) -> None:
        self._text = text
        self.with_subject_after = text(first(_with_subject_after()))
        """Records with a subject after a sequence. Parameters: writer, sequence, how many."""
        self.about_subject = text(
            select(*_event_columns())
            .where(*equals(_records.tenant, _records.subject))
            .order_by(*(audit_records.c[name] for name in NEWEST))
        )
        """Records about a subject, by time. Parameters: tenant, subject."""
        self.count_effects = text(_effect_counts())
        """Effect and count among the newest decisions about a tool. Parameters: tenant, how many; tool."""
        self.agents = text(first(_agents()))
        """Agents in a tenant's decisions. Parameters: tenant, how many."""
        self.agents_last_used = text(first(_agents_last_used()))
        """agent, newest recorded_at_us. Parameters: tenant, from_us, how many."""
        self.bodies_after = text(
            select(_records.sequence, _records.body, _records.hash)
            .where(*equals(_records.writer), _records.sequence > bindparam("sequence"))
            .order_by(_records.sequence)
        )
        """sequence, body, hash of the records after a sequence. Parameters: writer, sequence."""
        self.hash_at = text(select(_records.hash).where(*equals(_records.writer, _records.sequence)))
        """The hash of a record. Parameters: writer, sequence."""
        self.body_at = text(
            select(_records.body, _records.hash).where(*equals(_records.tenant, _records.writer, _records.sequence))
        )
        """body, hash of a record. Parameters: tenant, writer, sequence."""
        self.decision = text(
            select(_records.writer, _records.sequence, _records.body, _records.hash).where(
                *equals(_records.tenant, _records.decision_id)
            )
        )
        """writer, sequence, body, hash of a decision. Parameters: tenant, decision_id."""
        self.of_writer = text(_all_columns().order_by(_records.sequence))
        """RECORD_COLUMNS, INDEX_COLUMNS, body, previous_hash, hash of a chain. Parameters: writer."""
        self.of_writer_after = text(
            _all_columns().where(_records.sequence > bindparam("sequence")).order_by(_records.sequence)
        )
        """The same columns after a sequence. Parameters: writer, sequence."""

    @lru_cache(maxsize=512)  # noqa: B019 - there is one such object for each database
    def page(self, conditions: tuple[str, ...], *, members: int = 0, from_us: bool, before: bool) -> str:
        """Return the query of decisions, newest first: the columns of NEWEST, body, hash.

        Parameters: tenant, the conditions, as many members of the body as `members`, [from_us], [the three
        columns of NEWEST before which the page begins], how many.
        """
        position = [audit_records.c[name] for name in NEWEST]
        where: list[ColumnElement[bool]] = equals(_records.tenant, *(audit_records.c[name] for name in conditions))
        where.append(_records.decision_id.is_not(None))
        where += [holds(_records.body, f"member_{number}") for number in range(members)]
        if from_us:
            where.append(_records.recorded_at_us >= bindparam("from_us"))
        if before:
            where.append(tuple_(*position) < tuple_(*(bindparam(f"before_{name}") for name in NEWEST)))
        decisions = select(*position, _records.body, _records.hash).where(*where)
        return self._text(first(decisions.order_by(*_newest_first())))

    def log(self, *, tenant: bool, kinds: int, caller: bool, persons: int, from_us: bool) -> str:
        """Return the query of records of any kind, newest first: tenant, writer, sequence, body.

        Parameters: [tenant], as many kinds as `kinds`, [a member of the body], as many members of a part as `persons`,
        [from_us], how many.
        """
        where: list[ColumnElement[bool]] = equals(_records.tenant) if tenant else []
        if kinds:
            where.append(_records.kind.in_([bindparam(f"kind_{number}") for number in range(kinds)]))
        if caller:
            where.append(holds(_records.body, "caller"))
        if persons:
            where.append(_part_holds(persons))
        if from_us:
            where.append(_records.recorded_at_us >= bindparam("from_us"))
        records = select(_records.tenant, _records.writer, _records.sequence, _records.body).where(*where)
        return self._text(first(records.order_by(*_newest_first())))


class PartStatements:
    """Statements on the table audit_parts."""

    def __init__(self, text: ToText) -> None:
        self.of_record = text(
            select(_parts.name, _parts.salt, _parts.content).where(
                *equals(_parts.tenant, _parts.writer, _parts.sequence)
            )
        )
        """name, salt, content of a record's parts. Parameters: tenant, writer, sequence."""
        self.count = text(select(func.count()).select_from(audit_parts))
        """How many parts there are. No parameters."""


def _part_holds(members: int) -> ColumnElement[bool]:
    """Return the condition that a part of the record contains one of the next parameters."""
    of_record = [column == audit_records.c[column.name] for column in (_parts.tenant, _parts.writer, _parts.sequence)]
    found = or_(*(holds(_parts.content, f"person_{number}") for number in range(members)))
    return exists().where(*of_record, found)


def _with_subject_after() -> Select[Any]:
    return (
        select(*_event_columns())
        .where(*equals(_records.writer), _records.subject.is_not(None), _records.sequence > bindparam("sequence"))
        .order_by(_records.sequence)
    )


def _effect_counts() -> Select[Any]:
    newest = first(
        select(_records.effect, _records.tool)
        .where(*equals(_records.tenant), _records.decision_id.is_not(None))
        .order_by(*_newest_first())
    ).subquery()
    return select(newest.c.effect, func.count()).where(newest.c.tool == bindparam("tool")).group_by(newest.c.effect)


def _agents() -> Select[Any]:
    return (
        select(_records.agent)
        .where(
            *equals(_records.tenant),
            _records.decision_id.is_not(None),
            _records.recorded_at_us > _BEGINNING,  # always true; makes the index that has the agents usable
        )
        .distinct()
    )


def _agents_last_used() -> Select[Any]:
    newest = func.max(_records.recorded_at_us)
    return (
        select(_records.agent, newest)
        .where(
            *equals(_records.tenant),
            _records.decision_id.is_not(None),
            _records.recorded_at_us >= bindparam("from_us"),
        )
        .group_by(_records.agent)
        .order_by(newest.desc(), _records.agent)
    )


def _all_columns() -> Select[Any]:
    columns = (audit_records.c[name] for name in (*RECORD_COLUMNS, *INDEX_COLUMNS))
    return select(*columns, _records.body, _records.previous_hash, _records.hash).where(*equals(_records.writer))


def _event_columns() -> list[ColumnElement[Any]]:
    return [_records.writer, _records.sequence, _records.tenant, _records.kind, _records.subject, _records.body]


def _newest_first() -> Iterator[ColumnElement[Any]]:
    return (audit_records.c[name].desc() for name in NEWEST)
