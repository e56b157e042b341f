"""Shares runs of a long computation: one run at a time, whose result goes to all callers from before it began."""

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
"""Callers that may wait at once. Each holds a call open, and more of them would learn nothing sooner."""
RETRY_AFTER_MS_MIN: Final = 1_000
"""The shortest delay that rejected callers are asked to wait; otherwise as long as the last run took."""


class SharedRun(Generic[Result]):
    """Runs `start`. Callers during a run get the result of the next run, which sees the data of that time.

    A run continues when its callers are gone. A run that no caller waits for any more is not started.
    """

    def __init__(self, start: Callable[[], Coroutine[None, None, Result]]) -> None:
        self._start = start
        self._running: asyncio.Task[Result] | None = None
        self._waiting = 0
        self._took_seconds = 0.0

    async def result(self) -> Result:
        """Return the result of a run that begins after this call.

        Raises OverloadedError when WAITING_MAX callers wait.
        """
        if self._waiting >= WAITING_MAX:
            raise OverloadedError(max(RETRY_AFTER_MS_MIN, math.ceil(self._took_seconds * 1_000)))
        self._waiting += 1
        try:
            earlier = self._running
            if earlier is not None:
                await asyncio.wait([earlier])
            # Of the callers that waited for the same run the first starts the next one, after all of them called.
            if self._running is None or self._running is earlier:
                self._running = asyncio.create_task(self._timed())
                self._running.add_done_callback(self._ended)
            return await asyncio.shield(self._running)
        finally:
            self._waiting -= 1

    async def _timed(self) -> Result:
        started = time.monotonic()
        try:
            return await self._start()
        finally:
            self._took_seconds = time.monotonic() - started

    def _ended(self, run: asyncio.Task[Result]) -> None:
        if self._running is run:
            self._running = None
        if not run.cancelled():
            run.exception()  # marks it as retrieved: without a caller left asyncio would log it as a defect
