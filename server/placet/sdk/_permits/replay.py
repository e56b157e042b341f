"""Which permits were used already."""

from __future__ import annotations

import heapq
import threading
from typing import Final, Protocol

from placet.sdk.errors import PermitError, PermitReason

USED_MAX: Final = 100_000
"""Permits that are remembered at once: they are forgotten as they expire, so this is 1,500 calls a second."""


class Replay(Protocol):
    """Remembers what was used. Several processes that run the same calls share one."""

    def first_use(self, decision_id: str, until: float, now: float) -> bool:
        """Whether it was not used before; from now on it was. May be forgotten after `until` (seconds of the epoch)."""
        ...


class ReplayCache:
    """Remembers in this process; safe to use from several threads.

    When it is full of permits that are still valid it refuses more (``replay_cache_full``): forgetting one would let it
    run twice. ValueError when `used_max` is below 1.
    """

    def __init__(self, used_max: int = USED_MAX) -> None:
        if used_max < 1:
            raise ValueError(f"used_max must be at least 1, not {used_max}")
        self._used_max = used_max
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    def first_use(self, decision_id: str, until: float, now: float) -> bool:
        """Whether it was not used before; from now on it was."""
        with self._lock:
            while self._ends and self._ends[0][0] < now:
                self._used.discard(heapq.heappop(self._ends)[1])
            if decision_id in self._used:
                return False
            if len(self._used) >= self._used_max:
                raise PermitError(
                    PermitReason.REPLAY_CACHE_FULL, f"{self._used_max} permits that were used are still valid"
                )
            self._used.add(decision_id)
            heapq.heappush(self._ends, (until, decision_id))
            return True

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._used)
