"""Runs long computations in slices, so that a thread does not hold the interpreter from the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_SECONDS: Final = 0.001
"""How long it computes without a rest. A thread that waits for the interpreter gets it after 5 ms at the latest, and a
decision waits for it several times."""
REST_SECONDS: Final = 0.001
"""How long it then leaves the interpreter to other threads: it uses half of one core at most."""


class Pace:
    """Call it often. Before each rest it calls `check`, whose exceptions end the computation."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._rested = time.monotonic()

    def __call__(self) -> None:
        """Rest when a slice is over."""
        if time.monotonic() - self._rested < SLICE_SECONDS:
            return
        self._check()
        time.sleep(REST_SECONDS)
        self._rested = time.monotonic()
