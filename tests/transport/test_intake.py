"""Messages are read in a bounded number of places and in fair turns; excess calls are refused before parsing."""

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
"""Stands for grpc.aio.EOF, which is not bytes."""


class Call:
    """A call whose message arrives when the test says so."""

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


class IntakeEnv:
    """An intake with calls that hold their messages until the test ends them."""

    def __init__(self, patience_seconds: float) -> None:
        self.shed: list[str] = []
        self.intake = Intake(lambda why, _count: self.shed.append(str(why)), patience_seconds)
        self.got: list[Call] = []
        self.moved = asyncio.Event()
        self.over = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, peer: str = "one", raw: object = None) -> Call:
        """Start a call. With `raw`, its message has arrived."""
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
        """Run the event loop until it is idle."""
        for _ in range(20):
            await asyncio.sleep(0)

    def refused(self) -> int:
        return sum(task.done() and isinstance(task.exception(), OverloadedError) for task in self.tasks)


@pytest.fixture
def with_intake() -> Callable[..., Awaitable[None]]:
    async def run(test: Callable[[IntakeEnv], Awaitable[None]], patience_seconds: float = FOR_EVER_SECONDS) -> None:
        env = IntakeEnv(patience_seconds)
        try:
            async with asyncio.timeout(20):
                await test(env)
        finally:
            env.over.set()
            for task in env.tasks:
                task.cancel()
            await asyncio.gather(*env.tasks, return_exceptions=True)
        assert env.intake.held_bytes == 0

    return run


WithIntake = Any


async def test_the_number_of_concurrent_reads_is_bounded(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        calls = [env.call() for _ in range(MESSAGE_READS_MAX + 3)]
        await env.settle()
        assert [call.asked for call in calls] == [True] * MESSAGE_READS_MAX + [False] * 3
        calls[5].arrives.set_result(SMALL)
        await env.settle()
        assert [call.asked for call in calls[MESSAGE_READS_MAX:]] == [True, False, False]
        assert env.got == [calls[5]]

    await with_intake(test)


async def test_a_quiet_connection_does_not_wait_behind_a_flooding_one(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        flood = [env.call("flood") for _ in range(MESSAGE_READS_MAX + 500)]
        quiet = env.call("quiet", SMALL)
        await env.settle()
        assert not quiet.asked
        for call in flood[:MESSAGE_READS_MAX]:
            call.arrives.set_result(SMALL)
        await env.settle()
        flood[MESSAGE_READS_MAX].arrives.set_result(SMALL)
        await env.settle()
        assert quiet in env.got

    await with_intake(test)


async def test_a_message_that_does_not_arrive_loses_its_place_to_a_waiting_call(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        silent = [env.call("silent") for _ in range(MESSAGE_READS_MAX)]
        await env.settle()
        env.call("quiet", SMALL)
        await env.moved.wait()
        assert [call.aborted for call in silent].count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 1
        assert env.shed == ["slow_message"]

    await with_intake(test, patience_seconds=0.01)


async def test_a_slow_message_keeps_its_place_while_no_call_waits(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        slow = [env.call() for _ in range(MESSAGE_READS_MAX)]
        await env.settle()
        slow[0].arrives.set_result(SMALL)
        await env.moved.wait()
        assert [call.aborted for call in slow] == [None] * MESSAGE_READS_MAX
        assert env.shed == []

    await with_intake(test, patience_seconds=0)


async def test_bytes_held_are_bounded_over_all_calls(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        large = bytes(MESSAGE_BYTES_MAX)
        for number in range(20):
            env.call(f"connection-{number}", large)
        await env.settle()
        room = REQUEST_BYTES_HELD_MAX * 3 // 4 // MESSAGE_BYTES_MAX
        assert len(env.got) == room
        assert env.intake.held_bytes == room * MESSAGE_BYTES_MAX
        assert env.refused() == 20 - room
        assert set(env.shed) == {"bytes_held"}
        env.call("connection-0", bytes(LARGE_MESSAGE_BYTES))
        env.call("another", SMALL)
        await env.settle()
        assert len(env.got) == room + 2, "what is small has room of its own"
        env.over.set()
        await env.settle()
        assert env.intake.held_bytes == 0

    await with_intake(test)


async def test_one_connection_holds_at_most_half_of_the_bytes(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        for _ in range(8):
            env.call("flood", bytes(MESSAGE_BYTES_MAX))
        env.call("quiet", bytes(MESSAGE_BYTES_MAX))
        await env.settle()
        assert [call.peer() for call in env.got] == ["flood"] * 4 + ["quiet"]

    await with_intake(test)


async def test_the_number_of_unread_calls_is_bounded(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        for _ in range(MESSAGE_READS_MAX + CALLS_UNREAD_MAX + 2):
            env.call()
        await env.settle()
        assert env.refused() == 2
        env.call("quiet")
        await env.settle()
        assert env.refused() == 3, "the connection that floods gives way"
        assert not env.tasks[-1].done()

    await with_intake(test)


async def test_the_number_of_concurrent_calls_is_bounded(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        for number in range(CALLS_MAX + 3):
            env.call(f"connection-{number % 100}", SMALL)
        await env.settle()
        assert len(env.got) == CALLS_MAX
        assert env.shed == ["calls"] * 3

    await with_intake(test)


async def test_a_cancelled_call_leaves_its_place_to_others(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        calls = [env.call() for _ in range(MESSAGE_READS_MAX + 1)]
        await env.settle()
        env.tasks[-1].cancel()
        await env.settle()
        last = env.call("quiet", SMALL)
        await env.settle()
        calls[0].arrives.set_result(SMALL)
        env.tasks[1].cancel()
        await env.settle()
        assert last in env.got
        others = [env.call("quiet", SMALL) for _ in range(3)]
        await env.settle()
        assert set(others) <= set(env.got)

    await with_intake(test)


async def test_a_place_is_not_lost_if_its_new_owner_is_cancelled(with_intake: WithIntake) -> None:
    async def test(env: IntakeEnv) -> None:
        calls = [env.call() for _ in range(MESSAGE_READS_MAX + 1)]
        await env.settle()
        calls[0].arrives.set_result(SMALL)
        await asyncio.sleep(0)  # the place is passed on, and not yet taken
        env.tasks[-1].cancel()
        await env.settle()
        for call in calls[1:MESSAGE_READS_MAX]:
            call.arrives.set_result(SMALL)
        await env.settle()
        again = [env.call() for _ in range(MESSAGE_READS_MAX)]
        await env.settle()
        assert all(call.asked for call in again)

    await with_intake(test)


async def test_the_end_of_a_stream_is_not_a_message() -> None:
    intake = Intake(lambda _why, _count: None)
    call: Any = Call()
    call.arrives.set_result(END)
    async with contextlib.AsyncExitStack() as stack:
        message = await stack.enter_async_context(intake.message(call))
        assert not message.is_present
