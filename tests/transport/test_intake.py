"""Messages are read in bounded places and fair turns; what is too much is turned away before it is parsed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.kernel.errors import OverloadedError
from placet.kernel.limits import (
    CALLS_MAX,
    CALLS_UNREAD_MAX,
    LARGE_MESSAGE_BYTES,
    MESSAGE_BYTES_MAX,
    MESSAGE_READS_MAX,
    REQUEST_BYTES_HELD_MAX,
)
from placet.transport.grpc.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SMALL = b"small"
FOR_EVER_SECONDS = 1e6
END = object()
"""As grpc.aio.EOF: no bytes."""


class Call:
    """A call of which the test says when its message arrives."""

    def __init__(self, peer: str = "one") -> None:
        self._peer = peer
        self.arrives: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.asked = False
        self.aborted: grpc.StatusCode | None = None

    def peer(self) -> str:
        return self._peer

    async def read(self) -> object:
        self.asked = True
        raw = await asyncio.shield(self.arrives)
        if self.aborted is not None:
            raise grpc.aio.AbortError("Locally aborted.")
        return raw

    async def abort(self, code: grpc.StatusCode, _details: str, _metadata: object) -> None:
        self.aborted = code
        self.arrives.set_result(END)
        raise grpc.aio.AbortError("Locally aborted.")


class Border:
    """An intake, and calls that hold their message until the test ends them."""

    def __init__(self, patience_seconds: float) -> None:
        self.shed: list[str] = []
        self.intake = Intake(lambda why, _count: self.shed.append(str(why)), patience_seconds)
        self.got: list[Call] = []
        self.moved = asyncio.Event()
        self.over = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, peer: str = "one", raw: object = None) -> Call:
        """A call that has begun; with `raw` its message is there at once."""
        call = Call(peer)
        if raw is not None:
            call.arrives.set_result(raw)
        self.tasks.append(asyncio.create_task(self._handle(call)))
        return call

    async def _handle(self, call: Any) -> None:
        async with self.intake.message(call) as message:
            message.take()
            self.got.append(call)
            self.moved.set()
            await self.over.wait()

    async def settle(self) -> None:
        """Until nothing moves any more by itself."""
        for _ in range(20):
            await asyncio.sleep(0)

    def turned_away(self) -> int:
        return sum(task.done() and isinstance(task.exception(), OverloadedError) for task in self.tasks)


@pytest.fixture
def bordering() -> Callable[..., Awaitable[None]]:
    async def run(test: Callable[[Border], Awaitable[None]], patience_seconds: float = FOR_EVER_SECONDS) -> None:
        border = Border(patience_seconds)
        try:
            async with asyncio.timeout(20):
                await test(border)
        finally:
            border.over.set()
            for task in border.tasks:
                task.cancel()
            await asyncio.gather(*border.tasks, return_exceptions=True)
        assert border.intake.held_bytes == 0

    return run


Bordering = Any


async def test_so_many_messages_are_read_at_once_and_no_more(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        calls = [border.call() for _ in range(MESSAGE_READS_MAX + 3)]
        await border.settle()
        assert [call.asked for call in calls] == [True] * MESSAGE_READS_MAX + [False] * 3
        calls[5].arrives.set_result(SMALL)
        await border.settle()
        assert [call.asked for call in calls[MESSAGE_READS_MAX:]] == [True, False, False]
        assert border.got == [calls[5]]

    await bordering(test)


async def test_another_connection_does_not_wait_behind_one_that_floods(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        flood = [border.call("flood") for _ in range(MESSAGE_READS_MAX + 500)]
        quiet = border.call("quiet", SMALL)
        await border.settle()
        assert not quiet.asked
        for call in flood[:MESSAGE_READS_MAX]:
            call.arrives.set_result(SMALL)
        await border.settle()
        flood[MESSAGE_READS_MAX].arrives.set_result(SMALL)
        await border.settle()
        assert quiet in border.got

    await bordering(test)


async def test_a_message_that_does_not_come_gives_its_place_to_who_waits(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        silent = [border.call("silent") for _ in range(MESSAGE_READS_MAX)]
        await border.settle()
        border.call("quiet", SMALL)
        await border.moved.wait()
        assert [call.aborted for call in silent].count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 1
        assert border.shed == ["slow_message"]

    await bordering(test, patience_seconds=0.01)


async def test_while_nobody_waits_a_message_may_take_its_time(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        slow = [border.call() for _ in range(MESSAGE_READS_MAX)]
        await border.settle()
        slow[0].arrives.set_result(SMALL)
        await border.moved.wait()
        assert [call.aborted for call in slow] == [None] * MESSAGE_READS_MAX
        assert border.shed == []

    await bordering(test, patience_seconds=0)


async def test_bytes_held_are_bounded_over_all_calls(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        large = bytes(MESSAGE_BYTES_MAX)
        for number in range(20):
            border.call(f"connection-{number}", large)
        await border.settle()
        room = REQUEST_BYTES_HELD_MAX * 3 // 4 // MESSAGE_BYTES_MAX
        assert len(border.got) == room
        assert border.intake.held_bytes == room * MESSAGE_BYTES_MAX
        assert border.turned_away() == 20 - room
        assert set(border.shed) == {"bytes_held"}
        border.call("connection-0", bytes(LARGE_MESSAGE_BYTES))
        border.call("another", SMALL)
        await border.settle()
        assert len(border.got) == room + 2, "what is small has room of its own"
        border.over.set()
        await border.settle()
        assert border.intake.held_bytes == 0

    await bordering(test)


async def test_one_connection_holds_half_at_most(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        for _ in range(8):
            border.call("flood", bytes(MESSAGE_BYTES_MAX))
        border.call("quiet", bytes(MESSAGE_BYTES_MAX))
        await border.settle()
        assert [call.peer() for call in border.got] == ["flood"] * 4 + ["quiet"]

    await bordering(test)


async def test_calls_that_wait_to_be_read_are_bounded(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        for _ in range(MESSAGE_READS_MAX + CALLS_UNREAD_MAX + 2):
            border.call()
        await border.settle()
        assert border.turned_away() == 2
        border.call("quiet")
        await border.settle()
        assert border.turned_away() == 3, "the connection that floods gives way"
        assert not border.tasks[-1].done()

    await bordering(test)


async def test_calls_under_way_are_bounded(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        for number in range(CALLS_MAX + 3):
            border.call(f"connection-{number % 100}", SMALL)
        await border.settle()
        assert len(border.got) == CALLS_MAX
        assert border.shed == ["calls"] * 3

    await bordering(test)


async def test_who_goes_while_it_waits_leaves_its_place_to_others(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        calls = [border.call() for _ in range(MESSAGE_READS_MAX + 1)]
        await border.settle()
        border.tasks[-1].cancel()
        await border.settle()
        last = border.call("quiet", SMALL)
        await border.settle()
        calls[0].arrives.set_result(SMALL)
        border.tasks[1].cancel()
        await border.settle()
        assert last in border.got
        others = [border.call("quiet", SMALL) for _ in range(3)]
        await border.settle()
        assert set(others) <= set(border.got)

    await bordering(test)


async def test_a_place_is_not_lost_with_a_caller_who_goes_as_it_is_given(bordering: Bordering) -> None:
    async def test(border: Border) -> None:
        calls = [border.call() for _ in range(MESSAGE_READS_MAX + 1)]
        await border.settle()
        calls[0].arrives.set_result(SMALL)
        await asyncio.sleep(0)  # the place is passed on, and not yet taken
        border.tasks[-1].cancel()
        await border.settle()
        for call in calls[1:MESSAGE_READS_MAX]:
            call.arrives.set_result(SMALL)
        await border.settle()
        again = [border.call() for _ in range(MESSAGE_READS_MAX)]
        await border.settle()
        assert all(call.asked for call in again)

    await bordering(test)


async def test_the_end_of_a_stream_is_no_message() -> None:
    intake = Intake(lambda _why, _count: None)
    call: Any = Call()
    call.arrives.set_result(END)
    async with contextlib.AsyncExitStack() as stack:
        message = await stack.enter_async_context(intake.message(call))
        assert not message.is_present
