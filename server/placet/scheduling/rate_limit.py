"""Limits how many requests a key may send in a second. For one event loop.

A token bucket of one second's requests for each key, kept as one number: when the bucket is full again (the generic
cell rate algorithm).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS_MAX: Final = 16_384
"""Keys that are held, those of the latest requests: two megabytes. A key that is forgotten may send another burst."""


class RateLimit:
    """At most `per_second` requests of each key in a second, after a burst of as many."""

    def __init__(self, per_second: int, monotonic: Callable[[], float]) -> None:
        self._interval = 1.0 / per_second
        self._slack = 1.0 - self._interval
        self._monotonic = monotonic
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, count: int = 1) -> float:
        """Return 0 and count requests of the key; or return after how many seconds there is room for all of them.

        There is never room for more than a burst.
        """
        now = self._monotonic()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now + (count - 1) * self._interval - self._slack
        if wait > self._interval * 1e-6:  # sums of intervals are not exact
            return wait
        self._full_at[key] = full_at + count * self._interval
        self._full_at.move_to_end(key)
        if len(self._full_at) > KEYS_MAX:
            self._full_at.popitem(last=False)
        return 0.0
