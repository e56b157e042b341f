"""Runs work in steps on the event loop, with other tasks in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from placet.kernel.steps import Steps

Result = TypeVar("Result")


async def pause() -> None:
    """Let the event loop run other tasks."""
    await asyncio.sleep(0)


async def in_slices(steps: Steps[Result]) -> Result:
    """Run the steps, with other tasks in between, and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        await pause()


class Turns:
    """As `in_slices`, for work from many callers at once: only one of them proceeds in each pass of the event loop.

    Otherwise a hundred large requests together would hold the loop for a hundred steps. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def take(self, steps: Steps[Result]) -> Result:
        """Run the steps and return the result. Work that needs one step does not wait for a turn."""
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        async with self._turn:
            await pause()
            return await in_slices(steps)
