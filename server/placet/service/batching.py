"""What has arrived while the last batch was under way goes together as the next. A lone request waits for nobody.

Tenants, and the callers of one tenant, take turns; see `FairQueue`.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

from placet.core.errors import DeadlinePassedError, OverloadedError, ShuttingDownError
from placet.core.limits import PIPELINE_ACTIONS_MAX, RETRY_AFTER_MS
from placet.service.fair_queue import FairQueue, Flow, Group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")
NOBODY = Flow()
"""The flow of those who name none."""


class Shed(StrEnum):
    """Why items are not worked on."""

    QUEUE_FULL = "queue_full"
    EXPIRED = "expired"


class _Waiting(NamedTuple, Generic[Item, Result]):
    items: Sequence[Item]
    future: asyncio.Future[Sequence[Result]]
    deadline: float | None


class Batcher(Generic[Item, Result]):
    """Feeds `work` with batches, at most `lanes` at once.

    `work` takes items and gives one result for each, in order; what it raises reaches every caller of that batch.
    At most `depth_max` items wait. `on_shed` is told how many items were not worked on, and why. Belongs to one event
    loop.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        depth_max: int,
        lanes: int = 1,
        on_shed: Callable[[Shed, int], None] = lambda _why, _count: None,
        monotonic: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        self._work = work
        self._lanes_max = lanes
        self._queue: FairQueue[_Waiting[Item, Result]] = FairQueue(depth_max)
        self._on_shed = on_shed
        self._monotonic = monotonic
        self._lanes: set[asyncio.Task[None]] = set()  # held here: the loop itself keeps only weak references
        self._closing = False

    @property
    def depth(self) -> int:
        """Items that wait."""
        return self._queue.depth

    async def submit(
        self, items: Sequence[Item], flow: Flow = NOBODY, seconds: float | None = None
    ) -> Sequence[Result]:
        """Have the items worked on, together and in order. OverloadedError or ShuttingDownError when not admitted.

        When the caller is cancelled the items are worked on all the same, unless its `seconds` were over before work
        began: then nobody is told any more, and it is not begun (DeadlinePassedError). More than `depth_max` items at
        once are admitted when nothing else waits: trying again would never help them. OverloadedError comes later when
        others, who wait for less, need the room.
        """
        if self._closing:
            raise ShuttingDownError("the server is shutting down")
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(items, future, None if seconds is None else self._monotonic() + seconds)
        group = Group(flow, len(items), waiting)
        gone = self._queue.put(group)
        if gone is None:
            self._on_shed(Shed.QUEUE_FULL, len(items))
            raise OverloadedError(RETRY_AFTER_MS)
        for each in gone:
            self._shed(each, Shed.QUEUE_FULL, OverloadedError(RETRY_AFTER_MS))
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._run(), name="placet-batcher")
            self._lanes.add(lane)
        try:
            return await future
        except asyncio.CancelledError:
            if self._is_over(waiting) and self._queue.remove(group):  # its room is for others
                self._on_shed(Shed.EXPIRED, group.size)
            raise

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
        while self._queue:
            batch = self._take()
            if not batch:
                continue
            items = [item for each in batch for item in each.items]
            try:
                results = await self._work(items)
            except Exception as error:  # noqa: BLE001 - it reaches every caller of the batch
                for each in batch:
                    if not each.future.done():
                        each.future.set_exception(error)
                continue
            start = 0
            for each in batch:
                if not each.future.done():  # the caller may be gone
                    each.future.set_result(results[start : start + len(each.items)])
                start += len(each.items)

    def _take(self) -> list[_Waiting[Item, Result]]:
        """The next batch: whole groups, of at most PIPELINE_ACTIONS_MAX items beyond one. Empty when all were late."""
        batch = []
        for group in self._queue.take(PIPELINE_ACTIONS_MAX):
            if self._is_over(group.entry):
                self._shed(group, Shed.EXPIRED, DeadlinePassedError("nobody waits for the answer any more"))
            else:
                batch.append(group.entry)
        return batch

    def _shed(self, group: Group[_Waiting[Item, Result]], why: Shed, error: Exception) -> None:
        self._on_shed(why, group.size)
        if not group.entry.future.done():
            group.entry.future.set_exception(error)

    def _is_over(self, waiting: _Waiting[Item, Result]) -> bool:
        """Whether its caller's time is over."""
        return waiting.deadline is not None and self._monotonic() >= waiting.deadline
