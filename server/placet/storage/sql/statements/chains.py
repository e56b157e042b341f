"""SQL for the heads and the checkpoints of chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, insert, literal_column, select, union, update

from placet.storage.sql.schema import audit_checkpoints, audit_parts, audit_records, audit_writers
from placet.storage.sql.statements.text import equals, first

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from placet.storage.sql.statements.text import ToText

_writers, _checkpoints, _records = audit_writers.c, audit_checkpoints.c, audit_records.c
_ONE: Final[ColumnElement[int]] = literal_column("1")


class ChainStatements:
    """Statements on the table audit_writers: the head of each writer's chain."""

    def __init__(self, text: ToText) -> None:
        self.insert = text(insert(audit_writers))
        """Parameters: all columns in the order of the table."""
        self.head = text(
            select(_writers.head_sequence, _writers.head_hash, _writers.checkpoint_sequence).where(
                *equals(_writers.writer)
            )
        )
        """The head of a chain, with the sequence of its newest checkpoint. Parameters: writer."""
        self.heads = text(select(_writers.writer, _writers.head_sequence))
        """writer, head_sequence of every chain. No parameters."""
        self.move_head = text(
            update(audit_writers)
            .values(
                head_sequence=bindparam("new_sequence"),
                head_hash=bindparam("new_hash"),
                checkpoint_sequence=bindparam("new_checkpoint"),
            )
            .where(*equals(_writers.writer, _writers.head_sequence, _writers.head_hash))
        )
        """Compare-and-set. Parameters: new sequence, hash and checkpoint sequence; writer, old sequence, old hash."""
        self.newest_times = text(
            select(_writers.writer, _records.recorded_at_us).join_from(
                audit_writers,
                audit_records,
                and_(_records.writer == _writers.writer, _records.sequence == _writers.head_sequence),
            )
        )
        """writer and time of the last record of every chain. No parameters."""
        self.writers = text(
            union(
                select(_records.writer),
                select(_writers.writer),
                select(_checkpoints.writer),
                select(audit_parts.c.writer),
            )
        )
        """Every writer in any table of the trail. No parameters."""


class CheckpointStatements:
    """Statements on the table audit_checkpoints. Queries return writer, sequence, body, signature."""

    def __init__(self, text: ToText) -> None:
        by_sequence, newest_first = _checkpoints.sequence, _checkpoints.sequence.desc()
        self.insert = text(insert(audit_checkpoints))
        """Parameters: all columns in the order of the table."""
        self.newest = text(first(_of_writer().order_by(newest_first), _ONE))
        """The newest of a writer. Parameters: writer."""
        self.of_writer = text(_of_writer().order_by(by_sequence))
        """All of a writer. Parameters: writer."""
        self.at = text(_of_writer().where(*equals(_checkpoints.sequence)))
        """The one at a sequence. Parameters: writer, sequence."""
        self.after = text(
            _of_writer().where(_checkpoints.sequence > bindparam("sequence")).order_by(_checkpoints.sequence)
        )
        """Those after a sequence. Parameters: writer, sequence."""
        self.at_or_before = text(
            first(_of_writer().where(_checkpoints.sequence <= bindparam("sequence")).order_by(newest_first), _ONE)
        )
        """The newest at or before a sequence. Parameters: writer, sequence."""
        self.writers = text(select(_checkpoints.writer).distinct())
        """Every writer that signed a checkpoint. No parameters."""


def _of_writer() -> Select[Any]:
    return select(audit_checkpoints).where(*equals(_checkpoints.writer))
