"""Position in a stream, so that the stream can resume after a lost connection."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from placet.sdk import failures
from placet.sdk._transport.retry import jitter
from placet.sdk.approvals import DecisionState
from placet.sdk.errors import error_from_failure
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from placet.sdk.approvals import DecisionChange

BACKOFF_SECONDS: Final = 0.1
"""Delay before the first reconnect. Each further reconnect without a message doubles the delay."""
BACKOFF_SECONDS_MAX: Final = 5.0
_DOUBLINGS_MAX: Final = 10
_SECONDS_MIN: Final = 0.001
PENDING_STATES: Final = frozenset({DecisionState.PENDING})
"""States of a decision that still waits for people."""


class StreamPosition:
    """Cursor, deadline and backoff of a stream that resumes.

    `seconds` is the timeout of the whole stream, None for no limit.
    """

    def __init__(self, cursor: str, seconds: float | None) -> None:
        self.cursor = cursor
        self._deadline = time.monotonic() + (math.inf if seconds is None else seconds)
        self._reconnects = 0

    @property
    def seconds(self) -> float | None:
        """Seconds until the deadline; None for no limit."""
        remaining = self._deadline - time.monotonic()
        return None if remaining == math.inf else max(remaining, _SECONDS_MIN)

    def advance(self, cursor: str) -> None:
        """Move to the cursor of a message that arrived, and reset the backoff."""
        self.cursor = cursor or self.cursor
        self._reconnects = 0

    def delay_after(self, failure: Failure) -> float:
        """Return the seconds to wait before the next reconnect.

        Raises CallFailedError if the failure is permanent or the deadline has passed.
        """
        remaining = self._deadline - time.monotonic()
        if not failure.retryable:
            raise error_from_failure(failure)
        if remaining <= 0:
            raise error_from_failure(Failure(failures.TIMEOUT, str(failure)))
        backoff = min(BACKOFF_SECONDS * 2.0 ** min(self._reconnects, _DOUBLINGS_MAX), BACKOFF_SECONDS_MAX)
        self._reconnects += 1
        jittered = backoff * (0.5 + jitter() / 2)
        return min(max(jittered, failure.retry_after_seconds or 0.0), remaining)


def is_timeout(failure: Failure) -> bool:
    """Tell whether the caller's timeout has passed."""
    return failure.rule_id == failures.TIMEOUT


def is_final(change: DecisionChange) -> bool:
    """Tell whether the decision no longer waits for people."""
    return change.state not in PENDING_STATES
