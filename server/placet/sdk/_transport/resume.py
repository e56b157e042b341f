"""Streams that go on after a lost connection, from the cursor of the last message."""

from __future__ import annotations

import math
import random
import time
from typing import Final

from placet.sdk import failures
from placet.sdk.approvals import DecisionChange, DecisionState
from placet.sdk.errors import error_from_failure
from placet.sdk.failures import Failure

BACKOFF_SECONDS: Final = 0.1
"""Before the stream is opened again; doubled for each time that it gave nothing."""
BACKOFF_SECONDS_MAX: Final = 5.0
PENDING_STATES: Final = frozenset({DecisionState.PENDING})
"""States of a decision that somebody still has to decide about."""


class StreamPosition:
    """How far a stream was read, and how it goes on. `seconds` None: for as long as it takes."""

    def __init__(self, cursor: str, seconds: float | None) -> None:
        self.cursor = cursor
        self._deadline = time.monotonic() + (math.inf if seconds is None else seconds)
        self._failed = 0

    @property
    def seconds(self) -> float | None:
        """What is left; None for no end."""
        left = self._deadline - time.monotonic()
        return None if left == math.inf else max(left, 0.001)

    def read(self, cursor: str) -> None:
        """A message came."""
        self.cursor = cursor or self.cursor
        self._failed = 0

    def delay_after(self, failure: Failure) -> float:
        """Seconds to wait before the stream is opened again. CallFailedError when it cannot go on."""
        left = self._deadline - time.monotonic()
        if not failure.retryable:
            raise error_from_failure(failure)
        if left <= 0:
            raise error_from_failure(Failure(failures.TIMEOUT, str(failure)))
        backoff = min(BACKOFF_SECONDS * 2.0 ** min(self._failed, 10), BACKOFF_SECONDS_MAX)
        self._failed += 1
        return min(max(backoff * (0.5 + random.random() / 2), failure.retry_after_seconds or 0.0), left)  # noqa: S311 - jitter


def is_timeout(failure: Failure) -> bool:
    """Whether the time that the caller gave is over."""
    return failure.rule_id == failures.TIMEOUT


def is_final(change: DecisionChange) -> bool:
    """Whether nobody has to decide any longer."""
    return change.state not in PENDING_STATES
