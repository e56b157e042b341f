"""The system's clocks and random ids."""

from __future__ import annotations

import os
import time


class SystemClock:
    """Reads the system's clocks."""

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch."""
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        """Return seconds that never decrease, from an arbitrary start."""
        return time.monotonic()


class RandomIds:
    """Makes ids that sort by time: 12 hex digits of milliseconds, then 20 random ones."""

    def decision_id(self, now_us: int) -> str:
        """Return ``dec_`` and 32 hex digits."""
        return f"dec_{now_us // 1_000:012x}{os.urandom(10).hex()}"
