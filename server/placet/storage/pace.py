"""Long work beside decisions: in slices, so that a thread that computes does not keep the event loop from its turns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_SECONDS: Final = 0.001
"""How long it computes at a stretch. A thread that waits for the interpreter gets it after 5 ms at the latest, and a
decision waits for it several times."""
REST_SECONDS: Final = 0.001
"""How long it then leaves the interpreter to others: half of one core at most."""


class Pace:
    """Call it often. Raises what `check` raises, which is asked before each rest."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._rested = time.monotonic()

    def __call__(self) -> None:
        """Rest when it is time."""
        if time.monotonic() - self._rested < SLICE_SECONDS:
            return
        self._check()
        time.sleep(REST_SECONDS)
        self._rested = time.monotonic()
