"""Time that a clock set back cannot take back: never behind the newest record of any writer of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from placet.core.ports import Clock

FOLLOW_SECONDS: Final = 1.0
"""How often the newest records are looked at: so far at most does the floor lag behind what was recorded."""
FLOOR_UNUSED: Final = 0
"""The bound with which the machine's clock alone is the time."""
_SECOND_US: Final = 1_000_000


class LedgerClock:
    """The later of the machine's clock and the floor. Deadlines go by the machine's monotonic clock.

    `skew_max_seconds`: how far the machine's clock may be behind before nothing can be allowed; FLOOR_UNUSED: no floor.
    """

    def __init__(self, machine: Clock, skew_max_seconds: float) -> None:
        self._machine = machine
        self._skew_max_seconds = skew_max_seconds
        self._floor_us = 0

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        return max(self._machine.wall_us(), self._floor_us)

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return self._machine.monotonic()

    def follow(self, newest_us: Collection[int]) -> None:
        """Take the times of each writer's newest record, by sequence, as the floor."""
        if self._skew_max_seconds != FLOOR_UNUSED:
            self._floor_us = max(newest_us, default=0)

    def behind_seconds(self) -> float:
        """How far the machine's clock is behind the floor; 0 when it is not."""
        return max(0, self._floor_us - self._machine.wall_us()) / _SECOND_US

    def skewed(self) -> bool:
        """Whether the machine's clock is too far behind to decide by."""
        return self._skew_max_seconds != FLOOR_UNUSED and self.behind_seconds() > self._skew_max_seconds
