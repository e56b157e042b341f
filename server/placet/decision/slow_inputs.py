"""Remembers which actions policy took long to evaluate: the slow lane decides such actions for a while.

The memory is by tenant and tool, and by the size of the request: an action that is much smaller than those that took
long is decided with all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.decision.attempt import Request

SLOW_SECONDS: Final = (4.0, 16.0, 60.0)
"""For how long an input is slow after it took long once, twice, and more often: one time may be a busy machine."""
FORGOTTEN_SECONDS: Final = 60.0
"""How long afterwards the next time still counts as a further one."""
TOOLS_MAX: Final = 1_024
"""Tools of tenants that are remembered. The one that was slow least recently is forgotten first."""
SIZE_FACTOR: Final = 2
"""Requests of at least 1 / SIZE_FACTOR of the smallest slow one are slow: a quadratic rule takes a quarter for half."""


@dataclass(frozen=True, slots=True)
class _Slow:
    """What is known of the slow requests of one tenant and tool."""

    times: int
    bytes: int  # of the smallest one
    until: float  # monotonic seconds


class SlowInputs:
    """The requests that took long lately."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._slow: dict[tuple[str, str], _Slow] = {}  # least recently slow first

    def add(self, request: Request) -> None:
        """Remember that the request took long."""
        now, key = self._monotonic(), _key(request)
        known, size = self._slow.pop(key, None), len(request.proposal.document)
        if known is None or now >= known.until + FORGOTTEN_SECONDS:
            known = _Slow(0, size, now)
        until = now + SLOW_SECONDS[min(known.times, len(SLOW_SECONDS) - 1)]
        self._slow[key] = _Slow(known.times + 1, min(size, known.bytes), until)
        if len(self._slow) > TOOLS_MAX:
            del self._slow[next(iter(self._slow))]

    def excuse(self, request: Request) -> None:
        """Take back a first time: the same request was quick in the slow lane, so something else took long."""
        key = _key(request)
        known = self._slow.get(key)
        if known is not None and known.times == 1:
            self._slow[key] = _Slow(1, known.bytes, self._monotonic())

    def __contains__(self, request: Request) -> bool:
        """Return whether the request is probably slow."""
        known = self._slow.get(_key(request))
        if known is None or self._monotonic() >= known.until:
            return False
        return len(request.proposal.document) * SIZE_FACTOR >= known.bytes

    def any_of(self, requests: Sequence[Request]) -> bool:
        """Return whether one of the requests is probably slow."""
        return bool(self._slow) and any(request in self for request in requests)


def _key(request: Request) -> tuple[str, str]:
    return request.proposal.identity.tenant, request.proposal.action.tool
