"""Time and fresh ids: the ports for them, and how a time is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Time. Deadlines use `monotonic`; records use `wall_us`."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...


class Ids(Protocol):
    """Fresh identifiers."""

    def decision_id(self, now_us: int) -> str:
        """``dec_`` and 32 hex digits, sorting by time."""
        ...


@dataclass(frozen=True, slots=True)
class ServerTime:
    """The clock of a database's server, read between two looks at our monotonic clock, in seconds."""

    asked_at: float
    wall_us: int
    answered_at: float


def rfc3339(time_us: int) -> str:
    """RFC 3339 in UTC with six decimals, e.g. ``2026-04-24T18:33:01.123456Z``."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
