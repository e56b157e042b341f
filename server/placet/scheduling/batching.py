"""What has arrived while the last batch was under way goes together as the next. A lone request waits for nobody.

Tenants, and the callers of one tenant, take turns; see `FairQueue`. What is more than a turn is worked on in pieces,
between which others have their turns.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast

from placet.kernel.errors import DeadlinePassedError, OverloadedError, UnavailableError
from placet.kernel.limits import PIPELINE_ACTIONS_MAX, QUEUE_TURN_BYTES, RETRY_AFTER_MS
from placet.scheduling.fair_queue import FairQueue, Flow, Group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")
Pieces: TypeAlias = "AsyncGenerator[Sequence[Result] | None, None]"
"""Work that yields None after each piece but the last, and then the results."""
NOBODY = Flow()
"""The flow of those who name none."""


class Shed(StrEnum):
    """Why items are not worked on."""

    QUEUE_FULL = "queue_full"
    EXPIRED = "expired"


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    """What somebody waits for; `pieces` once the first of them is under way."""

    items: Sequence[Item]
    future: asyncio.Future[Sequence[Result]]
    deadline: float | None
    pieces: Pieces[Result] | None = None


class Batcher(Generic[Item, Result]):
    """Feeds `work` with batches, at most `lanes` at once.

    `work` takes items and gives one result for each, in order; what it raises reaches every caller of that batch.
    At most `depth_max` items wait. `on_shed` is told how many items were not worked on, and why. Belongs to one event
    loop.

    With `in_pieces` (of one lane), items submitted together that cost more than a turn go to that instead, alone.
    `bytes_of` is what an item weighs.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        depth_max: int,
        in_pieces: Callable[[Sequence[Item]], Pieces[Result]] | None = None,
        bytes_of: Callable[[Item], int] = lambda _item: 0,
        lanes: int = 1,
        on_shed: Callable[[Shed, int], None] = lambda _why, _count: None,
        monotonic: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        self._work = work
        self._in_pieces = in_pieces
        self._bytes_of = bytes_of
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
        """Have the items worked on, together and in order. OverloadedError or UnavailableError when not admitted.

        When the caller is cancelled the items are worked on all the same, unless its `seconds` were over before work
        (or the next piece of it) began: then nobody is told any more, and it is not done (DeadlinePassedError). More
        than `depth_max` items at once are admitted when nothing else waits: trying again would never help them.
        OverloadedError comes later when others, who wait for less, need the room.
        """
        if self._closing:
            raise UnavailableError("the server is shutting down")
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting[Item, Result](items, future, None if seconds is None else self._monotonic() + seconds)
        group = Group(flow, len(items), waiting, sum(map(self._bytes_of, items)))
        group.in_pieces = self._in_pieces is not None and len(items) > 1 and group.cost > QUEUE_TURN_BYTES
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
            if waiting.pieces is None and self._is_over(waiting) and self._queue.remove(group):
                self._on_shed(Shed.EXPIRED, len(items))  # its room is for others
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
            batch = await self._take()
            if batch and batch[0].in_pieces:
                await self._do_piece(batch[0])
            elif batch:
                await self._do([group.entry for group in batch])

    async def _do(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        """Have all of the batch worked on, and tell the callers."""
        try:
            results = await self._work([item for each in batch for item in each.items])
        except Exception as error:  # noqa: BLE001 - it reaches every caller of the batch
            for each in batch:
                _fail(each.future, error)
            return
        start = 0
        for each in batch:
            _tell(each.future, results[start : start + len(each.items)])
            start += len(each.items)

    async def _do_piece(self, group: Group[_Waiting[Item, Result]]) -> None:
        """Have the next piece worked on; the group waits again, or its caller is told."""
        waiting = group.entry
        if waiting.pieces is None:
            if self._in_pieces is None:
                raise AssertionError("only what can be cut is worked on in pieces")
            waiting.pieces = self._in_pieces(waiting.items)
        try:
            results = await anext(waiting.pieces)
        except Exception as error:  # noqa: BLE001 - it reaches the caller
            _fail(waiting.future, error)
        else:
            if results is None:
                self._queue.put_back(group)
            else:
                _tell(waiting.future, results)
                await waiting.pieces.aclose()
        self._queue.stand_last(group.flow)

    async def _take(self) -> list[Group[_Waiting[Item, Result]]]:
        """The next batch: whole groups, or one that is worked on in pieces. Empty when all were late."""
        batch = []
        for group in self._queue.take(PIPELINE_ACTIONS_MAX):
            if not self._is_over(group.entry):
                batch.append(group)
                continue
            if group.entry.pieces is not None:
                await group.entry.pieces.aclose()
            self._shed(group, Shed.EXPIRED, DeadlinePassedError("nobody waits for the answer any more"))
        return batch

    def _shed(self, group: Group[_Waiting[Item, Result]], why: Shed, error: Exception) -> None:
        self._on_shed(why, len(group.entry.items))
        _fail(group.entry.future, error)

    def _is_over(self, waiting: _Waiting[Item, Result]) -> bool:
        """Whether its caller's time is over."""
        return waiting.deadline is not None and self._monotonic() >= waiting.deadline


def _tell(future: asyncio.Future[Sequence[Result]], results: Sequence[Result]) -> None:
    if not future.done():  # the caller may be gone
        future.set_result(results)


def _fail(future: asyncio.Future[Sequence[Result]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
