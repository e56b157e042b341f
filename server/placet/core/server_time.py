"""What another machine's clock said, and when on ours it was asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerTime:
    """The clock of a database's server, read between two looks at our monotonic clock, in seconds."""

    asked_at: float
    wall_us: int
    answered_at: float
