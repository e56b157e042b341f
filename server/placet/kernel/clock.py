"""Ports for the clock and for fresh ids, and the text form of a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """The clock. Use `monotonic` for deadlines and `wall_us` for what is recorded."""

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC. May jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...


class IdGenerator(Protocol):
    """Generates identifiers."""

    def decision_id(self, now_us: int) -> str:
        """Return a fresh id: ``dec_`` and 32 hex digits. Ids sort by time."""
        ...


@dataclass(frozen=True, slots=True)
class ServerTime:
    """The time of a database server, with the times of our monotonic clock just before and after it was read."""

    sent_at: float
    """Monotonic seconds when the query was sent."""
    wall_us: int
    """The database server's time: microseconds since the Unix epoch."""
    received_at: float
    """Monotonic seconds when the answer arrived."""


@lru_cache(maxsize=64)
def rfc3339(time_us: int) -> str:
    """Return the time as RFC 3339 in UTC with six decimals, e.g. ``2026-04-24T18:33:01.123456Z``.

    Cached, because all actions of a batch are decided at one time.
    """
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
