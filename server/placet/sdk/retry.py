"""When a call is tried again. Safe for every call: decisions carry the same idempotency_key, the others only read."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.sdk.failures import Failure

TRIES_MAX: Final = 5
BACKOFF_SECONDS: Final = 0.05
"""Before the second try; doubled for each one after it."""


class Attempts:
    """The tries of one call, within one deadline."""

    def __init__(
        self,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._monotonic = monotonic
        self._rand = rand
        self._deadline = monotonic() + timeout
        self._tries = 0

    def remaining(self) -> float:
        """Seconds until the deadline; 0 or less when it is past."""
        return self._deadline - self._monotonic()

    def delay_after(self, failure: Failure) -> float | None:
        """Seconds to wait before the next try; None when there shall be none.

        Never less than the server asked for; the jitter keeps many clients from coming back at once.
        """
        self._tries += 1
        if not failure.retryable or self._tries >= TRIES_MAX:
            return None
        backoff = BACKOFF_SECONDS * 2 ** (self._tries - 1)
        delay = (failure.retry_after_seconds or backoff / 2) + backoff / 2 * self._rand()
        return delay if delay < self.remaining() else None
