"""Batches requests: everything that arrives while one batch is in progress forms the next. Single requests do not wait.

Tenants, and the callers of one tenant, take turns (see `FairQueue`). A request that costs more than a turn is processed
in pieces, and other requests have their turns in between. A request that would keep its batch waiting can be postponed:
a second `Batcher` beside it processes it. The server batches decisions, outcome reports and records of
invalid requests.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, Generic, Self, TypeAlias, TypeVar, cast

from placet.kernel.errors import DeadlinePassedError, OverloadedError, UnavailableError
from placet.kernel.limits import PIPELINE_ACTIONS_MAX, QUEUE_TURN_BYTES, RETRY_AFTER_MS
from placet.scheduling.fair_queue import FairQueue, Flow, Group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Postponed(Enum):
    """The result of items that were not processed: the slower batcher shall process them."""

    POSTPONED = "postponed"


POSTPONED: Final = Postponed.POSTPONED
Pieces: TypeAlias = "AsyncGenerator[Sequence[Result | Postponed] | None, None]"
"""Work in pieces: yields None after each piece but the last, and the results of all items after the last."""
OverlappingWork: TypeAlias = "Callable[[Sequence[Item], Callable[[], None]], Awaitable[Sequence[Result | Postponed]]]"
"""Work that calls its second argument once the next batch may begin."""
DEFAULT_FLOW = Flow()
"""The flow of callers that pass none: they share turns."""


class ShedReason(StrEnum):
    """Why items were rejected without being processed. A label of the metric of shed calls."""

    QUEUE_FULL = "queue_full"
    EXPIRED = "expired"  # the caller's deadline passed


@dataclass(slots=True, eq=False)
class _Submission(Generic[Item, Result]):
    """The items of one `submit`, and the future of their results."""

    items: Sequence[Item]
    future: asyncio.Future[Sequence[Result]]
    deadline: float | None  # monotonic seconds
    pieces: Pieces[Result] | None = None  # set once the first piece begins


class Batcher(Generic[Item, Result]):
    """Calls `work` with batches of items, at most `lanes` at once. Belongs to one event loop.

    `work` returns one result for each item, in order. An error that it raises reaches every caller of the batch.
    At most `depth_max` items wait. `on_shed` receives the reason and the number of items that were not processed.

    With `in_pieces` (and one lane), items that were submitted together and cost more than a turn are processed by
    `in_pieces` instead, apart from all other items. `bytes_of` returns the size of an item, which determines its cost.
    A batch has at most `actions_max` items, unless items that were submitted together are more.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Postponed]]],
        *,
        depth_max: int,
        actions_max: int = PIPELINE_ACTIONS_MAX,
        in_pieces: Callable[[Sequence[Item]], Pieces[Result]] | None = None,
        bytes_of: Callable[[Item], int] = lambda _item: 0,
        lanes: int = 1,
        on_shed: Callable[[ShedReason, int], None] = lambda _reason, _count: None,
        monotonic: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        self._work = work
        self._in_pieces = in_pieces
        self._bytes_of = bytes_of
        self._lanes_max = lanes
        self._actions_max = actions_max
        self._slower: Self | None = None
        self._is_slow: Callable[[Sequence[Item]], bool] = lambda _items: False
        self._queue: FairQueue[_Submission[Item, Result]] = FairQueue(depth_max)
        self._on_shed = on_shed
        self._monotonic = monotonic
        self._lanes: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references to tasks
        self._overlapping: OverlappingWork[Item, Result] | None = None
        self._finishing: set[asyncio.Task[None]] = set()  # former lanes whose batch the next one overlaps
        self._closing = False

    def postpone_to(self, slower: Self, is_slow: Callable[[Sequence[Item]], bool]) -> None:
        """Move items that were submitted together, and whose results are POSTPONED, to another batcher.

        Items for which `is_slow` is true go there at once. Callers wait for their results as before.
        """
        self._slower, self._is_slow = slower, is_slow

    def overlap(self, work: OverlappingWork[Item, Result]) -> None:
        """Process batches by `work` from now on. It calls its second argument when the next batch may begin."""
        self._overlapping = work

    @property
    def depth(self) -> int:
        """Return the number of items that wait."""
        return self._queue.depth

    async def submit(
        self, items: Sequence[Item], flow: Flow = DEFAULT_FLOW, seconds: float | None = None
    ) -> Sequence[Result]:
        """Process the items together and return their results, in order.

        When the caller is cancelled, its items are processed nevertheless. Only when its `seconds` have passed before
        the work (or its next piece) begins are they dropped: DeadlinePassedError.

        Raises UnavailableError when the batcher is closed. Raises OverloadedError when the queue is full, or later,
        when a flow that holds less needs the room. More than `depth_max` items at once are accepted when nothing else
        waits, because a retry could never succeed.
        """
        if self._closing:
            raise UnavailableError("the server is shutting down")
        if self._slower is not None and self._is_slow(items):
            return await self._slower.submit(items, flow, seconds)
        future: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        deadline = None if seconds is None else self._monotonic() + seconds
        submission: _Submission[Item, Result] = _Submission(items, future, deadline)
        group = self._enqueue(flow, submission)
        try:
            return await future
        except asyncio.CancelledError:
            if submission.pieces is None and self._is_expired(submission) and self._queue.remove(group):
                self._on_shed(ShedReason.EXPIRED, len(items))  # frees its room for others
            raise

    async def close(self) -> None:
        """Accept no new items, and process those that wait."""
        self._closing = True
        while busy := self._lanes | self._finishing:
            await asyncio.wait(busy)

    def _enqueue(self, flow: Flow, submission: _Submission[Item, Result]) -> Group[_Submission[Item, Result]]:
        """Put the items into the queue, and see to it that a lane processes them. Raises OverloadedError."""
        items = submission.items
        group = Group(flow, len(items), submission, sum(map(self._bytes_of, items)))
        if self._in_pieces is not None and len(items) > 1 and group.cost > QUEUE_TURN_BYTES:
            group.take_pieces()
        displaced = self._queue.put(group)
        if displaced is None:
            self._on_shed(ShedReason.QUEUE_FULL, len(items))
            raise OverloadedError(RETRY_AFTER_MS)
        for other in displaced:
            self._shed(other, ShedReason.QUEUE_FULL, OverloadedError(RETRY_AFTER_MS))
        self._start_lane()
        return group

    def _start_lane(self) -> None:
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._run(), name="placet-batcher")
            self._lanes.add(lane)

    def _begin_next(self) -> None:
        """Stop counting the running lane, so that another one takes the next batch. It ends after its batch."""
        lane = cast("asyncio.Task[None]", asyncio.current_task())
        self._lanes.discard(lane)
        self._finishing.add(lane)
        if self._queue:
            self._start_lane()

    async def _run(self) -> None:
        try:
            await self._drain()
        finally:
            # In the same step in which the queue was empty. A done callback would run later, and a `submit` in between
            # would count on a lane that does not look at the queue any more.
            lane = cast("asyncio.Task[None]", asyncio.current_task())
            self._lanes.discard(lane)
            self._finishing.discard(lane)

    async def _drain(self) -> None:
        lane = asyncio.current_task()
        while self._queue and lane in self._lanes:
            batch = await self._take()
            if batch and batch[0].in_pieces:
                await self._process_piece(batch[0])
            elif batch:
                await self._process(batch)

    async def _process(self, batch: Sequence[Group[_Submission[Item, Result]]]) -> None:
        """Process a batch and set the results of its futures."""
        try:
            items = [item for group in batch for item in group.entry.items]
            work = self._work(items) if self._overlapping is None else self._overlapping(items, self._begin_next)
            results = await work
        except Exception as error:  # noqa: BLE001 - it reaches every caller of the batch
            for group in batch:
                _fail(group.entry.future, error)
            return
        start = 0
        for group in batch:
            count = len(group.entry.items)
            self._finish(group, results[start : start + count])
            start += count

    def _finish(self, group: Group[_Submission[Item, Result]], results: Sequence[Result | Postponed]) -> None:
        """Set the results of the future, or move the items to the slower batcher."""
        submission = group.entry
        if POSTPONED not in results:
            _settle(submission.future, cast("Sequence[Result]", results))
        elif self._slower is None:
            _fail(submission.future, AssertionError("only a batcher with a slower one postpones items"))
        else:
            submission.pieces = None
            try:
                self._slower._enqueue(group.flow, submission)  # noqa: SLF001 - of the same class
            except OverloadedError as error:
                _fail(submission.future, error)

    async def _process_piece(self, group: Group[_Submission[Item, Result]]) -> None:
        """Process the next piece. Then put the group back, or set the results of its future."""
        submission = group.entry
        if submission.pieces is None:
            if self._in_pieces is None:
                raise AssertionError("only a batcher with in_pieces marks groups as in_pieces")
            submission.pieces = self._in_pieces(submission.items)
        try:
            results = await anext(submission.pieces)
        except Exception as error:  # noqa: BLE001 - it reaches the caller
            _fail(submission.future, error)
        else:
            if results is None:
                self._queue.put_back(group)
            else:
                await submission.pieces.aclose()
                self._finish(group, results)
        self._queue.move_to_end(group.flow)

    async def _take(self) -> list[Group[_Submission[Item, Result]]]:
        """Return the next batch: whole groups, or one that is processed in pieces. [] when all had expired."""
        batch = []
        for group in self._queue.take(self._actions_max):
            if not self._is_expired(group.entry):
                batch.append(group)
                continue
            if group.entry.pieces is not None:
                await group.entry.pieces.aclose()
            expired = DeadlinePassedError("the deadline passed before the request's turn came")
            self._shed(group, ShedReason.EXPIRED, expired)
        return batch

    def _shed(self, group: Group[_Submission[Item, Result]], reason: ShedReason, error: Exception) -> None:
        self._on_shed(reason, len(group.entry.items))
        _fail(group.entry.future, error)

    def _is_expired(self, submission: _Submission[Item, Result]) -> bool:
        """Return whether the caller's deadline passed."""
        return submission.deadline is not None and self._monotonic() >= submission.deadline


def _settle(future: asyncio.Future[Sequence[Result]], results: Sequence[Result]) -> None:
    if not future.done():  # a cancelled caller cancelled its future
        future.set_result(results)


def _fail(future: asyncio.Future[Sequence[Result]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
