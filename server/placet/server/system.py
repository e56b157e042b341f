"""The machine's clocks and randomness."""

from __future__ import annotations

import secrets
import time


class SystemClock:
    """The machine's clocks."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()


class RandomIds:
    """Ids that sort by time: 12 hex digits of milliseconds, 20 of randomness."""

    def decision_id(self, now_us: int) -> str:
        """``dec_`` and 32 hex digits."""
        return f"dec_{now_us // 1_000:012x}{secrets.token_hex(10)}"
