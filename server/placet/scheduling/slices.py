"""Work in steps on the event loop: whoever else waits gets a turn between two of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from placet.kernel.steps import Steps

Result = TypeVar("Result")


async def pause() -> None:
    """Let the event loop do what else waits."""
    await asyncio.sleep(0)


async def in_slices(steps: Steps[Result]) -> Result:
    """Do the steps, the event loop's other work between them; what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result
        await pause()


class Turns:
    """As `in_slices` for work that arrives from many sides at once: only one of them goes on in each pass of the loop.

    Else a hundred large requests together would hold the loop a hundred steps long. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def take(self, steps: Steps[Result]) -> Result:
        """Do the steps; what is done after one is not made to wait."""
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result
        async with self._turn:
            await pause()
            return await in_slices(steps)
