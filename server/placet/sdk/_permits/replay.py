"""Memory of used permits, so that a permit allows only one call."""

from __future__ import annotations

import heapq
import threading
from typing import Final, Protocol

from placet.sdk.errors import PermitError, PermitReason

USED_MAX: Final = 100_000
"""Maximum number of permits in memory. A permit is forgotten when it expires, so this allows 1,500 calls a second."""


class Replay(Protocol):
    """Memory of used permits. Executors in several processes must share one, for example in a database."""

    def first_use(self, decision_id: str, until: float, now: float) -> bool:
        """Record a use, and return True if it is the first one.

        The decision_id may be forgotten after `until`. `until` and `now` are in seconds since the epoch.
        """
        ...


class ReplayCache:
    """Memory of used permits in this process. Safe to use from several threads.

    It holds at most `used_max` permits that have not expired. If it is full, it rejects further permits
    (``replay_cache_full``), because a permit that it forgot could be used twice. Raises ValueError if `used_max` is
    below 1.
    """

    def __init__(self, used_max: int = USED_MAX) -> None:
        if used_max < 1:
            raise ValueError(f"used_max must be at least 1, not {used_max}")
        self._used_max = used_max
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._expiries: list[tuple[float, str]] = []

    def first_use(self, decision_id: str, until: float, now: float) -> bool:
        """Record a use, and return True if it is the first one. Raises PermitError ``replay_cache_full``."""
        with self._lock:
            while self._expiries and self._expiries[0][0] < now:
                self._used.discard(heapq.heappop(self._expiries)[1])
            if decision_id in self._used:
                return False
            if len(self._used) >= self._used_max:
                raise PermitError(PermitReason.REPLAY_CACHE_FULL, f"{self._used_max} used permits are still valid")
            self._used.add(decision_id)
            heapq.heappush(self._expiries, (until, decision_id))
            return True

    def __len__(self) -> int:
        """Return the number of permits in memory."""
        return len(self._used)
