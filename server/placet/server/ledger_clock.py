"""Time that no machine's clock can move: the database server's, and never behind the newest record of any writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from placet.kernel.clock import Clock, ServerTime

FOLLOW_SECONDS: Final = 1.0
"""How often the newest records of other replicas, and the clock of the database's server, are looked at."""
FLOOR_UNUSED: Final = 0
"""The bound with which the machine's clock alone is the time."""
_SECOND_US: Final = 1_000_000


class LedgerClock:
    """The later of a clock and the floor. Deadlines go by the machine's monotonic clock.

    The clock is the machine's until `measure` was told what the database's server says. From then on it is that
    server's, which all replicas share, counted on from there by the monotonic clock: what happens to the machine's own
    clock no longer moves time, and no record of this replica is later than others take for true.

    `skew_max_seconds`: how far a clock may be behind the floor, or the machine's away from the server's, before nothing
    can be allowed; FLOOR_UNUSED: no floor, and no other clock than the machine's.
    """

    def __init__(self, machine: Clock, skew_max_seconds: float) -> None:
        self._machine = machine
        self._skew_max_seconds = skew_max_seconds
        self._newest_us = 0
        self._own_us = 0
        self._server_zero_us: int | None = None
        """What the server's clock said when the monotonic clock was zero."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch, UTC."""
        return max(self._now_us(), self._floor_us)

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return self._machine.monotonic()

    def follow(self, newest_us: Collection[int]) -> None:
        """Take the times of each writer's newest record, by sequence, as the floor."""
        if self._skew_max_seconds != FLOOR_UNUSED:
            self._newest_us = max(newest_us, default=0)

    def recorded(self, at_us: int) -> None:
        """Raise the floor to a record that this server just made durable."""
        if self._skew_max_seconds != FLOOR_UNUSED:
            self._own_us = max(self._own_us, at_us)

    def measure(self, told: ServerTime) -> None:
        """Go by the clock of the database's server. It is corrected no further than the answer proves it wrong."""
        if self._skew_max_seconds == FLOOR_UNUSED:
            return
        zero_us = self._server_zero_us
        if zero_us is None:
            zero_us = self._machine.wall_us() - self._monotonic_us()
        earliest_us = told.wall_us - round(told.answered_at * _SECOND_US)
        latest_us = told.wall_us - round(told.asked_at * _SECOND_US)
        self._server_zero_us = min(max(zero_us, earliest_us), latest_us)

    def behind_seconds(self) -> float:
        """How far the clock is behind the floor; 0 when it is not."""
        return max(0, self._floor_us - self._now_us()) / _SECOND_US

    def ahead_of_server_seconds(self) -> float:
        """How far the machine's clock is ahead of the database server's, negative behind it; 0 without such a clock."""
        if self._server_zero_us is None:
            return 0.0
        return (self._machine.wall_us() - self._now_us()) / _SECOND_US

    def skewed(self) -> bool:
        """Whether a clock is too far off to decide by."""
        off_seconds = max(self.behind_seconds(), abs(self.ahead_of_server_seconds()))
        return self._skew_max_seconds != FLOOR_UNUSED and off_seconds > self._skew_max_seconds

    @property
    def _floor_us(self) -> int:
        return max(self._newest_us, self._own_us)

    def _now_us(self) -> int:
        zero_us = self._server_zero_us
        return self._machine.wall_us() if zero_us is None else zero_us + self._monotonic_us()

    def _monotonic_us(self) -> int:
        return round(self._machine.monotonic() * _SECOND_US)
