"""Chooses which refused calls are recorded, so that an attack cannot fill the audit trail, and counts the others."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import REFUSED_ACCESS_RECORDED, REFUSED_ACCESS_SOURCES_MAX, REFUSED_ACCESS_STRANGERS_RECORDED

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Window:
    """What was refused to one source in one window."""

    ends_at: float
    recorded: int = 0
    left_out: int = 0
    """Refusals since the last record. Not reset with the window: the next record tells them."""


class RefusalSamples:
    """Lets through a few refusals of each source and minute. Sources that are forgotten leave their count to the next.

    Callers that proved who they are have windows of their own. All others share one beside their own, because a
    stranger can call from any number of addresses.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._strangers = _Window(0.0)
        self._forgotten = 0

    def take(self, source: str, reason: str, *, stranger: bool) -> int | None:
        """Return None if the refusal is left out; else how many were left out since the last one that was not.

        `source` is the id of the caller, or the address of a stranger.
        """
        window = self._window(source, reason)
        joint = _current(self._strangers, self._monotonic()) if stranger else None
        full = window.recorded >= REFUSED_ACCESS_RECORDED
        if full or (joint is not None and joint.recorded >= REFUSED_ACCESS_STRANGERS_RECORDED):
            window.left_out += 1
            return None
        if joint is not None:
            joint.recorded += 1
        window.recorded += 1
        left_out, window.left_out, self._forgotten = window.left_out + self._forgotten, 0, 0
        return left_out

    def put_back(self, left_out: int) -> None:
        """Count a refusal that could not be recorded, and those that its record would have counted."""
        self._forgotten += left_out + 1

    def _window(self, source: str, reason: str) -> _Window:
        key, now = (source, reason), self._monotonic()
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now + WINDOW_SECONDS)
        self._windows.move_to_end(key)
        if len(self._windows) > REFUSED_ACCESS_SOURCES_MAX:
            _, oldest = self._windows.popitem(last=False)
            self._forgotten += oldest.left_out
        return _current(window, now)


def _current(window: _Window, now: float) -> _Window:
    """Return the window, begun anew if its time is over."""
    if now >= window.ends_at:
        window.ends_at, window.recorded = now + WINDOW_SECONDS, 0
    return window
