"""Something long that many ask for at once: one run at a time, whose result all share that asked before it began."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from placet.kernel.errors import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")
WAITING_MAX: Final = 64
"""Callers that may wait at once: each holds a call open, and more of them would learn nothing sooner."""
RETRY_AFTER_MS_MIN: Final = 1_000
"""What callers beyond those are told to wait at least; else as long as the last run took."""


class SharedRun(Generic[Result]):
    """Runs `start`. Who comes while one runs gets the result of the next, which looks at what is there by then.

    A run is not ended when those who asked for it are gone; one that nobody waits for any longer is not begun.
    """

    def __init__(self, start: Callable[[], Coroutine[None, None, Result]]) -> None:
        self._start = start
        self._running: asyncio.Task[Result] | None = None
        self._waiting = 0
        self._took_seconds = 0.0

    async def result(self) -> Result:
        """What a run gives that begins after this call. OverloadedError when as many wait as may."""
        if self._waiting >= WAITING_MAX:
            raise OverloadedError(max(RETRY_AFTER_MS_MIN, math.ceil(self._took_seconds * 1_000)))
        self._waiting += 1
        try:
            earlier = self._running
            if earlier is not None:
                await asyncio.wait([earlier])
            # Of those who waited for the same run the first begins another, which has begun since they all asked.
            if self._running is None or self._running is earlier:
                self._running = asyncio.create_task(self._timed())
                self._running.add_done_callback(self._ended)
            return await asyncio.shield(self._running)
        finally:
            self._waiting -= 1

    async def _timed(self) -> Result:
        begun = time.monotonic()
        try:
            return await self._start()
        finally:
            self._took_seconds = time.monotonic() - begun

    def _ended(self, run: asyncio.Task[Result]) -> None:
        if self._running is run:
            self._running = None
        if not run.cancelled():
            run.exception()  # told to whoever waits; with nobody left it is no defect
