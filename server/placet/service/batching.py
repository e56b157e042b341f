"""What has arrived while the last batch was under way goes together as the next. A lone request waits for nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from placet.core.errors import OverloadedError, ShuttingDownError
from placet.core.limits import PIPELINE_ACTIONS_MAX, RETRY_AFTER_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Feeds `work` with batches, at most `lanes` at once.

    `work` takes items and gives one result for each, in order; what it raises reaches every caller of that batch.
    At most `depth_max` items wait. Belongs to one event loop.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, depth_max: int, lanes: int = 1
    ) -> None:
        self._work = work
        self._depth_max = depth_max
        self._lanes_max = lanes
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = deque()
        self._depth = 0
        self._lanes: set[asyncio.Task[None]] = set()  # held here: the loop itself keeps only weak references
        self._closing = False

    @property
    def depth(self) -> int:
        """Items that wait."""
        return self._depth

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """Have the items worked on, together and in order. OverloadedError or ShuttingDownError when not admitted.

        When the caller is cancelled the items are worked on all the same. More than `depth_max` items at once are
        admitted when nothing else waits: trying again would never help them.
        """
        if self._closing:
            raise ShuttingDownError("the server is shutting down")
        if self._waiting and self._depth + len(items) > self._depth_max:
            raise OverloadedError(RETRY_AFTER_MS)
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        self._depth += len(items)
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._run(), name="placet-batcher")
            self._lanes.add(lane)
        return await future

    async def close(self) -> None:
        """Take nothing new, finish what waits."""
        self._closing = True
        while self._lanes:
            await asyncio.wait(self._lanes)

    async def _run(self) -> None:
        try:
            await self._drain()
        finally:
            # In the same step that found nothing waiting: a callback would come later, and who submits in between would
            # see a lane that no longer looks.
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._take()
            items = [item for group, _ in batch for item in group]
            try:
                results = await self._work(items)
            except Exception as error:  # noqa: BLE001 - it reaches every caller of the batch
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            start = 0
            for group, future in batch:
                if not future.done():  # the caller may be gone
                    future.set_result(results[start : start + len(group)])
                start += len(group)

    def _take(self) -> list[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]]:
        """The next batch: whole groups, at least one, at most PIPELINE_ACTIONS_MAX items otherwise."""
        batch = [self._waiting.popleft()]
        size = len(batch[0][0])
        while self._waiting and size + len(self._waiting[0][0]) <= PIPELINE_ACTIONS_MAX:
            group = self._waiting.popleft()
            batch.append(group)
            size += len(group[0])
        self._depth -= size
        return batch
