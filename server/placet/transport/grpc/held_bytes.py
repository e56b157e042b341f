"""Counts the bytes of messages that are in progress, over all connections and for each."""

from __future__ import annotations

from collections import Counter

from placet.kernel.limits import LARGE_MESSAGE_BYTES, REQUEST_BYTES_HELD_MAX


class HeldBytes:
    """At most REQUEST_BYTES_HELD_MAX bytes. A part is reserved for small messages, and a part for other connections."""

    def __init__(self) -> None:
        self.total = 0
        self._by_peer: Counter[str] = Counter()

    def hold(self, peer: str, size: int) -> bool:
        """Count the bytes of a message until `release`. Returns whether there was room; if not, nothing is counted."""
        room = REQUEST_BYTES_HELD_MAX * 3 // 4 if size > LARGE_MESSAGE_BYTES else REQUEST_BYTES_HELD_MAX
        if self.total + size > room or self._by_peer[peer] + size > REQUEST_BYTES_HELD_MAX // 2:
            return False
        self.total += size
        self._by_peer[peer] += size
        return True

    def release(self, peer: str, size: int) -> None:
        """Count bytes no longer."""
        self.total -= size
        self._by_peer[peer] -= size
        if not self._by_peer[peer]:
            del self._by_peer[peer]
