"""What a server signed last against what its database holds: whether the trail goes on, or broke off."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from placet.core.chain import checkpoint_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.core.chain import Checkpoint

Place = tuple[str, int]
"""Writer and sequence."""


class BreakKind(StrEnum):
    """Why a trail does not go on. Ids never change meaning and are never reused."""

    LOST = "lost"
    OLDER = "older"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FoundTrail:
    """What a database holds: where each chain ends, and the bodies of the checkpoints that were asked for."""

    heads: Mapping[str, int]
    checkpoints: Mapping[Place, bytes]

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


def find_breaks(writer: str, pinned: Sequence[Checkpoint], found: FoundTrail, *, begun: bool) -> list[TrailBreak]:
    """Each pinned checkpoint that the database does not hold; or that it holds nothing, where a trail was `begun`."""
    breaks = [each for checkpoint in pinned if (each := _break(checkpoint, found)) is not None]
    if begun and not pinned and found.empty:
        breaks.append(TrailBreak(BreakKind.LOST, writer, 0, "", 0))
    return breaks


def _break(pinned: Checkpoint, found: FoundTrail) -> TrailBreak | None:
    ends = found.heads.get(pinned.writer, 0)
    held = found.checkpoints.get((pinned.writer, pinned.sequence))
    if ends <= 0:
        kind = BreakKind.LOST
    elif ends < pinned.sequence:
        kind = BreakKind.OLDER
    elif held != checkpoint_body(pinned):
        kind = BreakKind.OTHER
    else:
        return None
    return TrailBreak(kind, pinned.writer, pinned.sequence, pinned.head, ends)
