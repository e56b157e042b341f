"""Runs work in steps on the event loop (see `kernel.steps`): other tasks run between two steps."""

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
    """Run the steps, pause after each, and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        await pause()


class Turns:
    """Runs work in steps as `in_slices` does, but only one caller makes a step in each pass of the event loop.

    Without it, a hundred large requests at once would occupy each pass with a hundred steps. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def take(self, steps: Steps[Result]) -> Result:
        """Run the steps and return the result. Work that is done after one step does not wait for its turn."""
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        async with self._turn:
            await pause()
            return await in_slices(steps)
