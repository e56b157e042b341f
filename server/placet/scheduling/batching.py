"""Batches requests: everything that arrives while one batch is in progress forms the next.

A single request is processed immediately. Tenants, and the callers of one tenant, take turns; see `FairQueue`. Work
that exceeds a turn is processed in pieces, between which others have their turns.
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
"""Work that yields None after each piece except the last, and then the results."""
DEFAULT_FLOW = Flow()
"""The flow of items that name none."""


class Shed(StrEnum):
    """Why items were not processed."""

    QUEUE_FULL = "queue_full"
    EXPIRED = "expired"


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    """Items of a caller that waits."""

    items: Sequence[Item]
    future: asyncio.Future[Sequence[Result]]
    deadline: float | None
    """The caller's monotonic deadline in seconds; None for none."""
    pieces: Pieces[Result] | None = None
    """Set once the first piece is in progress."""


class Batcher(Generic[Item, Result]):
    """Calls `work` with batches, at most `lanes` at once. Belongs to one event loop.

    `work` returns one result for each item, in order; its exception reaches every caller of the batch. At most
    `depth_max` items wait. `on_shed` receives how many items were not processed, and why.

    With `in_pieces` (requires one lane), items that were submitted together and cost more than a turn are processed by
    it instead, without other items. `bytes_of` returns the size of an item.
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
        """How many items wait."""
        return self._queue.depth

    async def submit(
        self, items: Sequence[Item], flow: Flow = DEFAULT_FLOW, seconds: float | None = None
    ) -> Sequence[Result]:
        """Process the items together and in order, and return their results.

        Raises OverloadedError or UnavailableError when the items are not admitted. OverloadedError may also come later,
        when callers that hold less need the room. More than `depth_max` items at once are admitted when nothing else
        waits, because a retry would never help them.

        When the caller is cancelled, the items are still processed. If its `seconds` passed before the work or its next
        piece began, they are not processed, and DeadlinePassedError is raised.
        """
        if self._closing:
            raise UnavailableError("the server is shutting down")
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting[Item, Result](items, future, None if seconds is None else self._monotonic() + seconds)
        group = Group(flow, len(items), waiting, sum(map(self._bytes_of, items)))
        group.in_pieces = self._in_pieces is not None and len(items) > 1 and group.cost > QUEUE_TURN_BYTES
        displaced = self._queue.put(group)
        if displaced is None:
            self._on_shed(Shed.QUEUE_FULL, len(items))
            raise OverloadedError(RETRY_AFTER_MS)
        for shed_group in displaced:
            self._shed(shed_group, Shed.QUEUE_FULL, OverloadedError(RETRY_AFTER_MS))
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._run(), name="placet-batcher")
            self._lanes.add(lane)
        try:
            return await future
        except asyncio.CancelledError:
            if waiting.pieces is None and self._is_over(waiting) and self._queue.remove(group):
                self._on_shed(Shed.EXPIRED, len(items))  # frees its room
            raise

    async def close(self) -> None:
        """Accept nothing new, and finish what waits."""
        self._closing = True
        while self._lanes:
            await asyncio.wait(self._lanes)

    async def _run(self) -> None:
        try:
            await self._drain()
        finally:
            # In the same step that found the queue empty: a callback would run later, and a submit in between would
            # rely on a lane that has already ended.
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _drain(self) -> None:
        while self._queue:
            batch = await self._take()
            if batch and batch[0].in_pieces:
                await self._do_piece(batch[0])
            elif batch:
                await self._do([group.entry for group in batch])

    async def _do(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        """Process the whole batch and set the callers' results."""
        try:
            results = await self._work([item for waiting in batch for item in waiting.items])
        except Exception as error:  # noqa: BLE001 - reaches every caller of the batch
            for waiting in batch:
                _set_error(waiting.future, error)
            return
        start = 0
        for waiting in batch:
            _set_results(waiting.future, results[start : start + len(waiting.items)])
            start += len(waiting.items)

    async def _do_piece(self, group: Group[_Waiting[Item, Result]]) -> None:
        """Process the next piece. Then the group waits again, or its caller gets the results."""
        waiting = group.entry
        if waiting.pieces is None:
            if self._in_pieces is None:
                raise AssertionError("the group is in pieces, and this batcher has no in_pieces")
            waiting.pieces = self._in_pieces(waiting.items)
        try:
            results = await anext(waiting.pieces)
        except Exception as error:  # noqa: BLE001 - reaches the caller
            _set_error(waiting.future, error)
        else:
            if results is None:
                self._queue.put_back(group)
            else:
                _set_results(waiting.future, results)
                await waiting.pieces.aclose()
        self._queue.move_to_end(group.flow)

    async def _take(self) -> list[Group[_Waiting[Item, Result]]]:
        """Take the next batch: whole groups, or one that is processed in pieces. Empty when all were late."""
        batch = []
        for group in self._queue.take(PIPELINE_ACTIONS_MAX):
            if not self._is_over(group.entry):
                batch.append(group)
                continue
            if group.entry.pieces is not None:
                await group.entry.pieces.aclose()
            self._shed(group, Shed.EXPIRED, DeadlinePassedError("the deadline passed before the request's turn came"))
        return batch

    def _shed(self, group: Group[_Waiting[Item, Result]], why: Shed, error: Exception) -> None:
        self._on_shed(why, len(group.entry.items))
        _set_error(group.entry.future, error)

    def _is_over(self, waiting: _Waiting[Item, Result]) -> bool:
        """Return whether the caller's deadline has passed."""
        return waiting.deadline is not None and self._monotonic() >= waiting.deadline


def _set_results(future: asyncio.Future[Sequence[Result]], results: Sequence[Result]) -> None:
    if not future.done():  # the caller may be gone
        future.set_result(results)


def _set_error(future: asyncio.Future[Sequence[Result]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
