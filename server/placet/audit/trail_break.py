"""Compares what a server signed last with what its database holds, to detect a lost or replaced chain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from placet.audit.chain import checkpoint_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.audit.chain import Checkpoint

Place = tuple[str, int]
"""Writer and sequence."""
NEW_TRAIL: Final = "`placet db new-trail --reason TEXT`"
"""The remedy when no database that holds the lost records can be restored."""


class BreakKind(StrEnum):
    """Why a chain does not continue. Ids never change meaning and are never reused."""

    LOST = "lost"
    OLDER = "older"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NotedRecord:
    """The end of a chain at the last answer of its server."""

    writer: str
    sequence: int
    hash: str
    """Hex."""


@dataclass(frozen=True, slots=True)
class FoundTrail:
    """What a database holds of the chains and places that are compared."""

    heads: Mapping[str, int]
    """The last sequence of each writer's chain."""
    checkpoints: Mapping[Place, bytes]
    """Bodies of checkpoints."""
    hashes: Mapping[Place, str]
    """Hashes of records, in hex."""

    @property
    def empty(self) -> bool:
        """Whether the database holds no record."""
        return not any(sequence > 0 for sequence in self.heads.values())


@dataclass(frozen=True, slots=True)
class TrailBreak:
    """A chain that does not continue where its server left it."""

    kind: BreakKind
    writer: str
    expected_sequence: int
    """The sequence that is pinned or noted; 0 when only a key proves that there was a trail."""
    expected_head: str
    """The hash of the record at that sequence, in hex."""
    found_sequence: int
    """Where the chain in the database ends."""


def find_breaks(
    writer: str, pinned: Sequence[Checkpoint], noted: Sequence[NotedRecord], stored: FoundTrail, *, begun: bool
) -> list[TrailBreak]:
    """Return a break for each chain whose pinned checkpoint or noted record is not in the database, by writer.

    A noted record takes precedence over a checkpoint of the same writer, because it is later. If a trail was `begun`
    and there is neither a pin nor a note, an empty database is a break as well.
    """
    breaks_by_writer = {
        lost.writer: lost for checkpoint in pinned if (lost := _checkpoint_break(checkpoint, stored)) is not None
    }
    breaks_by_writer |= {lost.writer: lost for record in noted if (lost := _record_break(record, stored)) is not None}
    breaks = [breaks_by_writer[name] for name in sorted(breaks_by_writer)]
    if begun and not pinned and not noted and stored.empty:
        breaks.append(TrailBreak(BreakKind.LOST, writer, 0, "", 0))
    return breaks


def _checkpoint_break(pinned: Checkpoint, stored: FoundTrail) -> TrailBreak | None:
    held = stored.checkpoints.get((pinned.writer, pinned.sequence)) == checkpoint_body(pinned)
    return _compare(NotedRecord(pinned.writer, pinned.sequence, pinned.head), stored, held=held)


def _record_break(noted: NotedRecord, stored: FoundTrail) -> TrailBreak | None:
    return _compare(noted, stored, held=stored.hashes.get((noted.writer, noted.sequence)) == noted.hash)


def _compare(expected: NotedRecord, stored: FoundTrail, *, held: bool) -> TrailBreak | None:
    last_sequence = stored.heads.get(expected.writer, 0)
    if last_sequence <= 0:
        kind = BreakKind.LOST
    elif last_sequence < expected.sequence:
        kind = BreakKind.OLDER
    elif not held:
        kind = BreakKind.OTHER
    else:
        return None
    return TrailBreak(kind, expected.writer, expected.sequence, expected.hash, last_sequence)
