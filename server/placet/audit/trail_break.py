"""What a server signed last against what its database holds: whether the trail goes on, or broke off."""

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
"""The remedy when nothing better is to be had."""


class BreakKind(StrEnum):
    """Why a trail does not go on. Ids never change meaning and are never reused."""

    LOST = "lost"
    OLDER = "older"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NotedRecord:
    """Where a chain ended when its server answered last. `hash` in hex."""

    writer: str
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class FoundTrail:
    """What a database holds: where each chain ends, and what stands at the places that were asked for.

    `checkpoints` are bodies, `hashes` those of records, in hex.
    """

    heads: Mapping[str, int]
    checkpoints: Mapping[Place, bytes]
    hashes: Mapping[Place, str]

    @property
    def empty(self) -> bool:
        """Whether there is not one record."""
        return not any(sequence > 0 for sequence in self.heads.values())


@dataclass(frozen=True, slots=True)
class TrailBreak:
    """A chain that does not go on. `expected_sequence` 0: a key is there, so there was a trail, and no more is known.

    `expected_head` is the hash of the record at that sequence, in hex.
    """

    kind: BreakKind
    writer: str
    expected_sequence: int
    expected_head: str
    found_sequence: int


def find_breaks(
    writer: str, pinned: Sequence[Checkpoint], noted: Sequence[NotedRecord], found: FoundTrail, *, begun: bool
) -> list[TrailBreak]:
    """Each chain whose pinned checkpoint or noted record the database does not hold; the later one is told.

    Or that it holds nothing at all, where a trail was `begun`.
    """
    by_writer = {each.writer: each for checkpoint in pinned if (each := _break(checkpoint, found)) is not None}
    by_writer |= {each.writer: each for record in noted if (each := _break_at(record, found)) is not None}
    breaks = [by_writer[name] for name in sorted(by_writer)]
    if begun and not pinned and not noted and found.empty:
        breaks.append(TrailBreak(BreakKind.LOST, writer, 0, "", 0))
    return breaks


def _break(pinned: Checkpoint, found: FoundTrail) -> TrailBreak | None:
    held = found.checkpoints.get((pinned.writer, pinned.sequence)) == checkpoint_body(pinned)
    return _told(NotedRecord(pinned.writer, pinned.sequence, pinned.head), found, held=held)


def _break_at(noted: NotedRecord, found: FoundTrail) -> TrailBreak | None:
    return _told(noted, found, held=found.hashes.get((noted.writer, noted.sequence)) == noted.hash)


def _told(expected: NotedRecord, found: FoundTrail, *, held: bool) -> TrailBreak | None:
    ends = found.heads.get(expected.writer, 0)
    if ends <= 0:
        kind = BreakKind.LOST
    elif ends < expected.sequence:
        kind = BreakKind.OLDER
    elif not held:
        kind = BreakKind.OTHER
    else:
        return None
    return TrailBreak(kind, expected.writer, expected.sequence, expected.hash, ends)
