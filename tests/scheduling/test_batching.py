"""The batcher: batches form from waiting items, no item is lost, and full queues reject at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import DeadlinePassedError, OverloadedError, UnavailableError
from placet.kernel.limits import PIPELINE_ACTIONS_MAX, QUEUE_TURN_ACTIONS
from placet.scheduling.batching import POSTPONED, Batcher, Postponed, ShedReason
from placet.scheduling.fair_queue import Flow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence


class Work:
    """Doubles numbers, one batch at a time, when the gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if -1 in items:
            raise RuntimeError("cannot")
        return [2 * item for item in items]


async def start(batcher: Batcher[int, int], *groups: Sequence[int]) -> list[asyncio.Task[Sequence[int]]]:
    """Submit the groups in order; the batcher receives each one before the next."""
    tasks = []
    for group in groups:
        tasks.append(asyncio.create_task(batcher.submit(group)))
        for _ in range(3):
            await asyncio.sleep(0)
    return tasks


async def test_a_single_request_does_not_wait() -> None:
    work = Work()
    assert await Batcher(work, depth_max=10).submit([3]) == [6]
    assert work.batches == [[3]]


async def test_items_that_arrive_during_a_batch_form_the_next_in_order() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=10)
    tasks = await start(batcher, [1], [2, 3], [4])
    assert batcher.depth == 3
    work.gate.set()
    assert [await task for task in tasks] == [[2], [4, 6], [8]]
    assert work.batches == [[1], [2, 3, 4]]


async def test_a_group_is_never_split() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=1_000)
    most = [0] * (PIPELINE_ACTIONS_MAX - 1)
    tasks = await start(batcher, [1], most, [2, 3], [4])
    work.gate.set()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in work.batches] == [1, len(most), 3]


async def test_a_full_queue_rejects_at_once_and_loses_no_item() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=2)
    tasks = await start(batcher, [1], [2], [3])
    with pytest.raises(OverloadedError) as refused:
        await batcher.submit([4])
    assert refused.value.retry_after_ms > 0
    work.gate.set()
    assert [await task for task in tasks] == [[2], [4], [6]]


async def test_an_error_reaches_every_caller_of_the_batch_and_no_other() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=10)
    tasks = await start(batcher, [1], [-1], [2])
    work.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0] == [2]
    assert [type(result) for result in results[1:]] == [RuntimeError, RuntimeError]
    assert await batcher.submit([5]) == [10]


async def test_a_cancelled_caller_does_not_stop_the_others() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=10)
    first, second, third = await start(batcher, [1], [2], [3])
    first.cancel()
    second.cancel()
    work.gate.set()
    assert await third == [6]
    assert work.batches == [[1], [2, 3]]


async def test_close_processes_waiting_items_and_accepts_no_new_ones() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=10)
    tasks = await start(batcher, [1], [2])
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await batcher.submit([3])
    work.gate.set()
    await closing
    assert [task.result() for task in tasks] == [[2], [4]]


async def test_lanes_run_concurrently() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=10, lanes=2)
    tasks = await start(batcher, [1], [2], [3])
    assert work.batches == [[1], [2]]
    work.gate.set()
    assert [await task for task in tasks] == [[2], [4], [6]]


async def test_a_caller_that_submits_again_at_once_is_served() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        return items

    batcher = Batcher(work, depth_max=10)
    async with asyncio.timeout(5):
        assert [await batcher.submit([number]) for number in range(100)] == [[number] for number in range(100)]


async def test_a_group_larger_than_the_queue_is_admitted_when_nothing_else_waits() -> None:
    work = Work()
    work.gate.clear()
    batcher = Batcher(work, depth_max=2)
    tasks = await start(batcher, [1], [2, 3, 4])
    with pytest.raises(OverloadedError):
        await batcher.submit([5])
    work.gate.set()
    assert [await task for task in tasks] == [[2], [4, 6, 8]]


async def test_expired_items_are_dropped_unless_their_batch_began() -> None:
    work, shed, now = Work(), list[tuple[ShedReason, int]](), [0.0]
    work.gate.clear()
    batcher = Batcher(
        work, depth_max=10, on_shed=lambda why, count: shed.append((why, count)), monotonic=lambda: now[0]
    )
    begun = asyncio.create_task(batcher.submit([1], seconds=2))
    for _ in range(3):
        await asyncio.sleep(0)
    [patient] = await start(batcher, [2])
    expired = asyncio.create_task(batcher.submit([3, 4], seconds=2))
    await asyncio.sleep(0)
    now[0] = 2.0
    work.gate.set()
    assert await begun == [2]
    assert await patient == [4]
    with pytest.raises(DeadlinePassedError):
        await expired
    assert work.batches == [[1], [2]]
    assert shed == [(ShedReason.EXPIRED, 2)]


async def test_a_batch_whose_items_all_expired_is_skipped() -> None:
    work = Work()
    with pytest.raises(DeadlinePassedError):
        await Batcher(work, depth_max=10).submit([1], seconds=0)
    assert work.batches == []


async def test_a_caller_cancelled_at_its_deadline_leaves_its_room_to_others() -> None:
    work, shed = Work(), list[tuple[ShedReason, int]]()
    work.gate.clear()
    batcher = Batcher(work, depth_max=2, on_shed=lambda why, count: shed.append((why, count)))
    [first] = await start(batcher, [1])
    expired = asyncio.create_task(batcher.submit([2, 3], seconds=0))
    await asyncio.sleep(0)
    expired.cancel()
    await asyncio.wait({expired})
    assert batcher.depth == 0
    assert shed == [(ShedReason.EXPIRED, 2)]
    [second] = await start(batcher, [4, 5])
    work.gate.set()
    assert await first == [2]
    assert await second == [8, 10]


async def test_a_flood_is_displaced_by_other_flows() -> None:
    work, shed = Work(), list[tuple[ShedReason, int]]()
    work.gate.clear()
    batcher = Batcher(work, depth_max=3, on_shed=lambda why, count: shed.append((why, count)))
    flood = [asyncio.create_task(batcher.submit([number], Flow("flood"))) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    quiet = asyncio.create_task(batcher.submit([10], Flow("quiet")))
    await asyncio.sleep(0)
    work.gate.set()
    assert await quiet == [20]
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert results[:-1] == [[0], [2], [4]]
    assert isinstance(results[-1], OverloadedError)
    assert shed == [(ShedReason.QUEUE_FULL, 1)]


class Piecework(Work):
    """Work that also doubles numbers in pieces of QUEUE_TURN_ACTIONS. `before_piece` maps a piece to a callback."""

    def __init__(self) -> None:
        super().__init__()
        self.before_piece: dict[int, Callable[[], object]] = {}
        self.ended = 0

    async def pieces(self, items: Sequence[int]) -> AsyncGenerator[Sequence[int] | None, None]:
        results: list[int] = []
        try:
            for number, start in enumerate(range(0, len(items), QUEUE_TURN_ACTIONS)):
                if number:
                    yield None
                if number in self.before_piece:
                    self.before_piece[number]()
                    for _ in range(3):  # new tasks reach their first await
                        await asyncio.sleep(0)
                results += await self(items[start : start + QUEUE_TURN_ACTIONS])
            yield results
        finally:
            self.ended += 1


PLAN = range(100, 100 + 3 * QUEUE_TURN_ACTIONS)


async def test_a_large_group_is_processed_in_pieces_and_answered_at_once() -> None:
    work = Piecework()
    batcher = Batcher(work, depth_max=100, in_pieces=work.pieces)
    work.gate.clear()
    plan, *others = await start(batcher, PLAN, [1], [2, 3])
    work.gate.set()
    assert await plan == [2 * item for item in PLAN]
    assert [await task for task in others] == [[2], [4, 6]]
    assert [len(batch) for batch in work.batches] == [QUEUE_TURN_ACTIONS] * 3 + [3], "one caller's calls stay in order"
    assert work.ended == 1


async def test_items_that_arrive_between_two_pieces_go_first() -> None:
    work = Piecework()
    batcher = Batcher(work, depth_max=100, in_pieces=work.pieces)
    others: list[asyncio.Task[Sequence[int]]] = []
    work.before_piece[1] = lambda: others.append(asyncio.create_task(batcher.submit([1], Flow("quiet"))))
    assert await batcher.submit(PLAN, Flow("large")) == [2 * item for item in PLAN]
    assert await others[0] == [2]
    assert [len(batch) for batch in work.batches] == [QUEUE_TURN_ACTIONS, QUEUE_TURN_ACTIONS, 1, QUEUE_TURN_ACTIONS]


async def test_an_error_in_a_piece_reaches_its_caller_and_no_other() -> None:
    work = Piecework()
    batcher = Batcher(work, depth_max=100, in_pieces=work.pieces)
    plan, other = await start(batcher, [*PLAN[:-1], -1], [1])
    with pytest.raises(RuntimeError):
        await plan
    assert await other == [2]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_deadline_between_two_pieces_ends_the_work(cancelled: bool) -> None:  # noqa: FBT001
    work, shed, now = Piecework(), list[tuple[ShedReason, int]](), [0.0]
    batcher = Batcher(
        work,
        depth_max=100,
        in_pieces=work.pieces,
        on_shed=lambda why, count: shed.append((why, count)),
        monotonic=lambda: now[0],
    )
    asking = asyncio.create_task(batcher.submit(PLAN, seconds=2))

    def late() -> None:
        now[0] = 2.0
        if cancelled:
            asking.cancel()

    work.before_piece[1] = late
    with pytest.raises(asyncio.CancelledError if cancelled else DeadlinePassedError):
        await asking
    await batcher.close()
    assert (len(work.batches), work.ended, shed) == (2, 1, [(ShedReason.EXPIRED, len(PLAN))])


class Choosy(Work):
    """Work that postpones numbers of 100 and more."""

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Postponed]:  # type: ignore[override]
        results = await super().__call__(items)
        return [POSTPONED if item >= 100 else result for item, result in zip(items, results, strict=True)]


def two_lanes(depth_max: int = 10) -> tuple[Batcher[int, int], Choosy, Work, list[tuple[ShedReason, int]]]:
    """Return a batcher whose slower one processes numbers of 100 and more, and those of 1,000 and more at once."""
    work, slow_work, shed = Choosy(), Work(), list[tuple[ShedReason, int]]()
    slower: Batcher[int, int] = Batcher(
        slow_work, depth_max=depth_max, actions_max=1, on_shed=lambda why, count: shed.append((why, count))
    )
    batcher: Batcher[int, int] = Batcher(work, depth_max=10)
    batcher.postpone_to(slower, lambda items: any(item >= 1_000 for item in items))
    return batcher, work, slow_work, shed


async def test_postponed_items_keep_nobody_waiting_and_get_their_results() -> None:
    batcher, work, slow_work, _ = two_lanes()
    work.gate.clear()
    slow_work.gate.clear()
    first, slow, quick = await start(batcher, [1], [100, 101], [2])
    work.gate.set()
    assert [await first, await quick] == [[2], [4]]
    assert not slow.done()
    slow_work.gate.set()
    assert await slow == [200, 202]
    assert slow_work.batches == [[100, 101]]


async def test_items_that_are_slow_go_to_the_slower_batcher_at_once() -> None:
    batcher, work, slow_work, _ = two_lanes()
    assert await batcher.submit([1_000]) == [2_000]
    assert (work.batches, slow_work.batches) == ([], [[1_000]])


async def test_the_slower_batcher_takes_one_group_at_a_time() -> None:
    batcher, work, slow_work, _ = two_lanes()
    work.gate.clear()
    tasks = await start(batcher, [1], [100], [101], [102, 103])
    work.gate.set()
    assert [await task for task in tasks] == [[2], [200], [202], [204, 206]]
    assert slow_work.batches == [[100], [101], [102, 103]]


async def test_a_full_slower_batcher_rejects_what_is_postponed() -> None:
    batcher, _, slow_work, shed = two_lanes(depth_max=1)
    slow_work.gate.clear()
    tasks = []
    for number in (100, 101, 102, 3):
        tasks += await start(batcher, [number])
    assert slow_work.batches == [[100]]
    assert await tasks[3] == [6]
    slow_work.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[:2] == [[200], [202]]
    assert isinstance(results[2], OverloadedError)
    assert shed == [(ShedReason.QUEUE_FULL, 1)]


async def test_a_postponed_item_expires_in_the_slower_queue() -> None:
    now = [0.0]
    work, slow_work = Choosy(), Work()
    slower: Batcher[int, int] = Batcher(slow_work, depth_max=10, actions_max=1, monotonic=lambda: now[0])
    batcher: Batcher[int, int] = Batcher(work, depth_max=10, monotonic=lambda: now[0])
    batcher.postpone_to(slower, lambda _items: False)
    slow_work.gate.clear()
    [held] = await start(slower, [7])
    late = asyncio.create_task(batcher.submit([100], seconds=2))
    for _ in range(9):
        await asyncio.sleep(0)
    assert slower.depth == 1
    now[0] = 2.0
    slow_work.gate.set()
    assert await held == [14]
    with pytest.raises(DeadlinePassedError):
        await late
    assert slow_work.batches == [[7]]


async def test_postponing_without_a_slower_batcher_is_an_error() -> None:
    with pytest.raises(AssertionError, match="slower"):
        await Batcher[int, int](Choosy(), depth_max=10).submit([100])


async def test_a_large_group_is_postponed_after_a_piece() -> None:
    slow_work, ended = Work(), list[int]()

    async def pieces(items: Sequence[int]) -> AsyncGenerator[Sequence[int | Postponed] | None, None]:
        yield None
        yield [POSTPONED] * len(items)
        ended.append(len(items))  # pragma: no cover - closed before

    slower: Batcher[int, int] = Batcher(slow_work, depth_max=100, actions_max=1)
    batcher: Batcher[int, int] = Batcher(Work(), depth_max=100, in_pieces=pieces)
    batcher.postpone_to(slower, lambda _items: False)
    assert await batcher.submit(PLAN) == [2 * item for item in PLAN]
    assert slow_work.batches == [list(PLAN)]
    assert not ended
