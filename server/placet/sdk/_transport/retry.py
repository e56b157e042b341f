"""Plans the retries of a call: how often, and how long to wait. `status` decides which errors are retryable.

Retries are safe: an authorization carries the same idempotency key each time, an outcome report has no effect the
second time, and other calls that are retried only read.
"""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.sdk.failures import Failure

BACKOFF_SECONDS: Final = 0.05
"""Delay before the second try. Each further try doubles the delay."""
BACKOFF_SECONDS_MAX: Final = 0.5
"""Short, so that a client finds a restarted server soon and does not spend a long timeout on one wait."""
LAST_TRY_SECONDS: Final = 0.05
"""Time that a wait leaves before the deadline, so that the last try can still be answered."""
_DOUBLINGS_MAX: Final = 10

# Without a state, so that programs which seed `random`, or fork, do not all retry at the same moments.
jitter: Final = random.SystemRandom().random


class Attempts:
    """The tries of one call until its deadline.

    `timeout` is in seconds. No retry starts later than `retry_seconds` after the first try.
    """

    def __init__(
        self,
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
        rand: Callable[[], float] = jitter,
        retry_seconds: float = math.inf,
    ) -> None:
        self._monotonic = monotonic
        self._rand = rand
        start = monotonic()
        self._deadline = start + timeout
        self._retry_until = start + min(timeout, retry_seconds)
        self._tries = 0

    def remaining(self) -> float:
        """Return the seconds until the deadline; 0 or less if it has passed."""
        return self._deadline - self._monotonic()

    def delay_after(self, failure: Failure) -> float | None:
        """Return the seconds to wait before the next try, or None if there is no next try.

        The delay is at least what the server requested, plus jitter that spreads the retries of many clients. A delay
        that would pass the deadline is shortened, so that one last try happens just before the deadline.
        """
        if not failure.retryable:
            return None
        backoff = min(BACKOFF_SECONDS * 2.0 ** min(self._tries, _DOUBLINGS_MAX), BACKOFF_SECONDS_MAX)
        self._tries += 1
        available = self._retry_until - self._monotonic() - LAST_TRY_SECONDS
        requested = failure.retry_after_seconds
        if available < (requested or BACKOFF_SECONDS / 2):
            return None
        return min((requested or backoff / 2) + backoff / 2 * self._rand(), available)
