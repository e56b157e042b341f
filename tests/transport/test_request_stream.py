"""One stream on a scripted call: the bytes that it holds, its end, and errors of its own."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import grpc
import pytest

from placet.kernel.errors import OverloadedError, UnavailableError
from placet.kernel.limits import MESSAGE_BYTES_MAX, STREAM_IN_FLIGHT_MAX, STREAMS_MAX
from placet.transport.grpc.intake import Intake
from placet.transport.grpc.request_stream import STARTED_TOGETHER, RequestStream
from placet.v1.authorization_pb2 import (
    AuthorizeStreamRequest,
    AuthorizeStreamResponse,
    StreamedRequest,
    StreamedResponse,
)

if TYPE_CHECKING:
    from placet.transport.grpc.incoming import IncomingRequest

END = object()
SETTLE_PASSES = 50


def message(*ids: str, padding: int = 0) -> bytes:
    requests = [StreamedRequest(id=each, traceparent="x" * padding) for each in ids]
    return AuthorizeStreamRequest(requests=requests).SerializeToString()


class Call:
    """A call that receives `messages`, and then nothing until `received` has more. Keeps the ids that were answered."""

    def __init__(self, *messages: object) -> None:
        self.received: asyncio.Queue[object] = asyncio.Queue()
        for each in messages:
            self.received.put_nowait(each)
        self.answered: list[str] = []
        self.write_error: Exception | None = None
        self.may_write = asyncio.Event()
        self.may_write.set()

    def peer(self) -> str:
        return "ipv4:192.0.2.1:5000"

    async def read(self) -> object:
        return await self.received.get()

    async def write(self, raw: bytes) -> None:
        if self.write_error is not None:
            raise self.write_error
        await self.may_write.wait()
        self.answered += [each.id for each in AuthorizeStreamResponse.FromString(raw).responses]


class StreamEnv:
    """A stream whose requests are answered once `open` is set. Keeps those that started and those that were refused."""

    def __init__(self, call: Call) -> None:
        self.open = asyncio.Event()
        self.started: list[str] = []
        self.refused: list[str] = []
        self.requests: WeakSet[IncomingRequest] = WeakSet()  # those that are in memory
        self.call = call
        self.intake = Intake(lambda _reason, _count: None)
        context: Any = call
        self.task = asyncio.create_task(RequestStream(self._answer, context, self.intake).run())

    async def _answer(self, incoming: IncomingRequest, _context: object) -> StreamedResponse:
        self.requests.add(incoming)
        if incoming.error is not None:
            self.refused.append(incoming.id)
            return StreamedResponse(id=incoming.id)
        self.started.append(incoming.id)
        await self.open.wait()
        return StreamedResponse(id=incoming.id)

    async def settle(self) -> None:
        """Run the event loop until it is idle."""
        for _ in range(SETTLE_PASSES):
            await asyncio.sleep(0)


async def test_bytes_are_held_until_the_answer() -> None:
    large = [message(f"{number}", f"{number}b", padding=MESSAGE_BYTES_MAX // 2 - 200) for number in range(5)]
    env = StreamEnv(Call(*large))
    await env.settle()
    assert env.intake.held_bytes == sum(map(len, large[:4])), "half of the bytes that all connections may hold"
    assert (env.started, env.refused) == ([each for n in range(4) for each in (f"{n}", f"{n}b")], ["4", "4b"])
    assert env.call.answered == ["4", "4b"]
    env.open.set()
    env.call.received.put_nowait(END)
    await asyncio.wait_for(env.task, 20)
    assert sorted(env.call.answered) == sorted(env.started + env.refused)
    assert env.intake.held_bytes == 0


class Traced(bytes):
    """A message that counts how many of its kind are in memory."""

    alive = 0

    def __new__(cls, raw: bytes) -> Self:
        cls.alive += 1
        return super().__new__(cls, raw)

    def __del__(self) -> None:
        type(self).alive -= 1


@pytest.mark.parametrize("padding", [0, MESSAGE_BYTES_MAX // 2])
async def test_an_idle_stream_keeps_nothing_of_what_was_answered(padding: int) -> None:
    env = StreamEnv(Call(Traced(message("a", padding=padding))))
    assert Traced.alive == 1
    env.open.set()
    await env.settle()
    assert (env.call.answered, env.intake.held_bytes, env.task.done()) == (["a"], 0, False)
    assert (Traced.alive, list(env.requests)) == (0, [])
    env.call.received.put_nowait(END)
    await asyncio.wait_for(env.task, 20)


async def test_an_answer_that_the_caller_does_not_read_keeps_no_request() -> None:
    call = Call(Traced(message("a")))
    call.may_write.clear()
    env = StreamEnv(call)
    env.open.set()
    await env.settle()
    assert (call.answered, env.intake.held_bytes) == ([], 0)
    assert (Traced.alive, list(env.requests)) == (0, [])
    call.may_write.set()
    call.received.put_nowait(END)
    await asyncio.wait_for(env.task, 20)


async def test_the_event_loop_runs_others_between_the_requests_of_a_message() -> None:
    env = StreamEnv(Call(message(*map(str, range(STREAM_IN_FLIGHT_MAX)))))
    started = [0]
    while started[-1] < STREAM_IN_FLIGHT_MAX:
        await asyncio.sleep(0)
        started.append(len(env.started))
    steps = [after - before for before, after in itertools.pairwise(started)]
    assert max(steps) == STARTED_TOGETHER
    env.task.cancel()
    await asyncio.wait([env.task])


async def test_a_cancelled_stream_releases_what_it_held() -> None:
    env = StreamEnv(Call(message("a", "b")))
    await env.settle()
    assert env.intake.held_bytes
    env.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await env.task
    assert env.intake.held_bytes == 0
    await env.settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_caller_that_reads_nothing_is_not_read() -> None:
    call = Call(*(message(str(number)) for number in range(STREAM_IN_FLIGHT_MAX + 50)), END)
    call.may_write.clear()
    env = StreamEnv(call)
    env.open.set()
    await asyncio.sleep(0.2)
    assert (len(env.started), call.answered) == (STREAM_IN_FLIGHT_MAX, [])
    assert call.received.qsize() == 50, "one message that is read waits, the end of the stream is unread"
    call.may_write.set()
    await asyncio.wait_for(env.task, 20)
    assert len(call.answered) == STREAM_IN_FLIGHT_MAX + 50


async def test_a_stop_answers_what_started() -> None:
    env = StreamEnv(Call(message("a"), message("b")))
    await env.settle()
    env.intake.end_streams()
    env.call.received.put_nowait(message("unread"))
    await env.settle()
    assert not env.task.done()
    env.open.set()
    with pytest.raises(UnavailableError):
        await asyncio.wait_for(env.task, 20)
    assert env.call.answered == ["a", "b"]


async def test_a_stream_that_the_caller_ended_is_not_disturbed_by_a_stop() -> None:
    env = StreamEnv(Call(message("a"), END))
    await env.settle()
    env.intake.end_streams()
    env.open.set()
    await asyncio.wait_for(env.task, 20)
    assert env.call.answered == ["a"]


async def test_no_stream_begins_after_a_stop() -> None:
    intake = Intake(lambda _reason, _count: None)
    intake.end_streams()
    with pytest.raises(UnavailableError), intake.stream(lambda: None):
        pass


async def test_the_number_of_streams_is_bounded() -> None:
    shed: list[str] = []
    intake = Intake(lambda reason, _count: shed.append(str(reason)))
    streams = [intake.stream(lambda: None) for _ in range(STREAMS_MAX)]
    for each in streams:
        each.__enter__()
    with pytest.raises(OverloadedError), intake.stream(lambda: None):
        pass
    assert shed == ["streams"]
    streams[0].__exit__(None, None, None)
    with intake.stream(lambda: None):
        pass


@pytest.mark.parametrize("error", [grpc.aio.InternalError("Failed ..."), grpc.aio.UsageError("Server is stopped")])
async def test_a_caller_that_is_gone_ends_the_stream(error: Exception) -> None:
    call = Call(message("a"))
    call.write_error = error
    env = StreamEnv(call)
    env.open.set()
    await asyncio.wait_for(env.task, 20)
    assert env.intake.held_bytes == 0


async def test_an_error_of_the_stream_itself_is_raised() -> None:
    call = Call(message("a"))
    call.write_error = RuntimeError("a defect")
    env = StreamEnv(call)
    env.open.set()
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(env.task, 20)


async def test_a_request_that_cannot_be_answered_ends_the_stream() -> None:
    async def fail(*_: object) -> StreamedResponse:
        raise RuntimeError("a defect")

    context: Any = Call(message("a"))
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(RequestStream(fail, context, Intake(lambda _reason, _count: None)).run(), 20)
