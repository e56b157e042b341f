"""Slows down callers that guess credentials."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import (
    GUESS_DELAY_MS,
    GUESSES_DELAYED_MAX,
    GUESSES_FREE_PER_MINUTE,
    GUESSING_HOSTS_MAX,
)
from placet.transport.grpc.interceptors.refused_access import host_of

if TYPE_CHECKING:
    from placet.kernel.errors import UnauthenticatedError

_WRONG: Final = "CREDENTIAL_INVALID"
_MINUTE_SECONDS: Final = 60.0


class GuessDelay:
    """Counts wrong credentials by host, and delays the answers to those beyond a few in a minute.

    Right credentials are never delayed, because many callers may share a host. For one event loop.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._delayed = 0

    async def after(self, error: UnauthenticatedError, peer: str) -> None:
        """Wait before the call is answered, if its credential is wrong. One that is missing or expired is no guess."""
        if (
            error.reason != _WRONG
            or self._count(host_of(peer)) <= GUESSES_FREE_PER_MINUTE
            or self._delayed >= GUESSES_DELAYED_MAX
        ):
            return
        self._delayed += 1
        try:
            await asyncio.sleep(GUESS_DELAY_MS / 1_000)
        finally:
            self._delayed -= 1

    def _count(self, host: str) -> int:
        """Return how many wrong credentials came from the host in the minute that began with the first."""
        now = asyncio.get_running_loop().time()
        began, count = self._counts.pop(host, (now, 0))
        if now - began >= _MINUTE_SECONDS:
            began, count = now, 0
        self._counts[host] = (began, count + 1)
        if len(self._counts) > GUESSING_HOSTS_MAX:
            self._counts.popitem(last=False)
        return count + 1
