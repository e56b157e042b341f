"""When a call is tried again. Safe for every call: decisions carry the same idempotency_key, the others only read."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.sdk.failures import Failure


BACKOFF_SECONDS: Final = 0.05
"""Before the second try; doubled for each one after it."""
BACKOFF_SECONDS_MAX: Final = 0.5
"""So that a server that came back is found soon, and a long deadline does not become one long wait."""
LAST_TRY_SECONDS: Final = 0.05
"""What a wait leaves of the time, so that the try after it can be answered."""


class Attempts:
    """The tries of one call, within one deadline; after `retry_seconds` none begins any more."""

    def __init__(
        self,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
        retry_seconds: float = math.inf,
    ) -> None:
        self._monotonic = monotonic
        self._rand = rand
        begun = monotonic()
        self._deadline = begun + timeout
        self._retry_until = begun + min(timeout, retry_seconds)
        self._tries = 0

    def remaining(self) -> float:
        """Seconds until the deadline; 0 or less when it is past."""
        return self._deadline - self._monotonic()

    def delay_after(self, failure: Failure) -> float | None:
        """Seconds to wait before the next try; None when there shall be none.

        Never less than the server asked for; the jitter keeps many clients from coming back at once. A wait that
        would pass the deadline is cut, so that a last try is made just before it.
        """
        if not failure.retryable:
            return None
        backoff = min(BACKOFF_SECONDS * 2.0 ** min(self._tries, 10), BACKOFF_SECONDS_MAX)
        self._tries += 1
        room = self._retry_until - self._monotonic() - LAST_TRY_SECONDS
        asked = failure.retry_after_seconds
        if room < (asked or BACKOFF_SECONDS / 2):
            return None
        return min((asked or backoff / 2) + backoff / 2 * self._rand(), room)
