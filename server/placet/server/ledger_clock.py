"""The server's clock: the database server's time, and never earlier than the newest record of any replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from placet.kernel.clock import Clock, ServerTime

FOLLOW_SECONDS: Final = 1.0
"""Interval at which the clock reads the newest records of other replicas and the database server's time."""
FLOOR_UNUSED: Final = 0
"""The bound that makes the machine's clock the only source of time."""
_SECOND_US: Final = 1_000_000


class LedgerClock:
    """A clock that never goes behind the newest record. Deadlines use the machine's monotonic clock.

    The time is the later of two: the base clock, and the floor (the time of the newest record of any replica). The base
    clock is the machine's until `measure` receives the database server's time. From then on it is the server's time,
    which all replicas share, advanced by the monotonic clock, so that a change of the machine's clock has no effect.
    """

    def __init__(self, machine: Clock, skew_max_seconds: float) -> None:
        """Start from the machine's clock.

        `skew_max_seconds` is the largest allowed distance of the base clock behind the floor, and of the machine's
        clock from the database server's. Beyond it `skewed` is true. FLOOR_UNUSED disables both.
        """
        self._machine = machine
        self._skew_max_seconds = skew_max_seconds
        self._newest_us = 0
        self._own_us = 0
        self._server_zero_us: int | None = None
        """The database server's time at zero of the monotonic clock."""

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""
        now_us = self._machine.wall_us() if self._server_zero_us is None else self._now_us()
        return max(now_us, self._newest_us, self._own_us)

    def monotonic(self) -> float:
        """Return seconds that never decrease, from an arbitrary start."""
        return self._machine.monotonic()

    def follow(self, newest_us: Collection[int]) -> None:
        """Set the floor from the time of each writer's newest record."""
        if self._skew_max_seconds != FLOOR_UNUSED:
            self._newest_us = max(newest_us, default=0)

    def recorded(self, at_us: int) -> None:
        """Raise the floor to the time of a record that this server just committed."""
        if self._skew_max_seconds != FLOOR_UNUSED:
            self._own_us = max(self._own_us, at_us)

    def measure(self, server_time: ServerTime) -> None:
        """Follow the database server's clock. Corrects the estimate only as far as the answer proves it wrong."""
        if self._skew_max_seconds == FLOOR_UNUSED:
            return
        zero_us = self._server_zero_us
        if zero_us is None:
            zero_us = self._machine.wall_us() - self._monotonic_us()
        earliest_us = server_time.wall_us - round(server_time.received_at * _SECOND_US)
        latest_us = server_time.wall_us - round(server_time.sent_at * _SECOND_US)
        self._server_zero_us = min(max(zero_us, earliest_us), latest_us)

    def behind_seconds(self) -> float:
        """Return how far the base clock is behind the floor; 0 when it is not."""
        return max(0, self._floor_us - self._now_us()) / _SECOND_US

    def ahead_of_server_seconds(self) -> float:
        """Return how far the machine's clock is ahead of the database server's: negative when behind, 0 without one."""
        if self._server_zero_us is None:
            return 0.0
        return (self._machine.wall_us() - self._now_us()) / _SECOND_US

    def skewed(self) -> bool:
        """Whether a clock is too far off for decisions."""
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
