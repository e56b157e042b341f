"""Bounds the memory that request messages take.

gRPC reads the message of a unary call before it runs the handler. So the server registers each method as one with
streaming requests, which reads for itself, and reads a message only when it has a place: at most MESSAGE_READS_MAX
messages are read at once, in fair turns between connections. The bytes that were read count until their call ends, and
are bounded by REQUEST_BYTES_HELD_MAX over all calls. A call that exceeds a bound is refused before its message is
deserialized. A call that is not read holds no more than the flow-control window of its connection.

A stream waits for its next message for as long as the caller likes, so it does not take a place. The number of streams
is bounded instead, by STREAMS_MAX.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import grpc

from placet.kernel.errors import OverloadedError, UnavailableError
from placet.kernel.limits import (
    CALLS_MAX,
    CALLS_UNREAD_MAX,
    MESSAGE_PATIENCE_MS,
    MESSAGE_READS_MAX,
    RETRY_AFTER_MS,
    STREAMS_MAX,
)
from placet.scheduling.fair_queue import FairQueue, Flow, Group
from placet.transport.grpc.errors import abort, status_of
from placet.transport.grpc.held_bytes import HeldBytes
from placet.transport.grpc.incoming import IncomingMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from placet.transport.grpc.context import Context

FLOW_CONTROL: Final = (
    ("grpc.http2.bdp_probe", 0),  # else the window of unread data grows with the speed of the network
    ("grpc.http2.lookahead_bytes", 65_536),
)
"""Channel options that bound the data that gRPC buffers for a call that is not read."""
_PATIENCE_SECONDS: Final = MESSAGE_PATIENCE_MS / 1_000


class ShedReason(StrEnum):
    """Why a call was refused before its message was deserialized. A label of the metric of shed calls."""

    CALLS = "calls"
    STREAMS = "streams"
    UNREAD = "unread"
    BYTES_HELD = "bytes_held"
    SLOW_MESSAGE = "slow_message"
    CALLER_RATE = "caller_rate"
    CALLER_STREAMS = "caller_streams"


@dataclass(slots=True, eq=False)
class _Read:
    """The read of one message. `over` is True once it ended."""

    context: Context
    since: float
    over: bool = False


class Intake:
    """Reads messages. `on_shed` receives the reason and the number of refused calls. Belongs to one event loop."""

    def __init__(self, on_shed: Callable[[str, int], None], patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._on_shed = on_shed
        self._patience_seconds = patience_seconds
        self._calls = 0
        self._streams: dict[object, Callable[[], None]] = {}
        self._is_ending = False
        self._free = MESSAGE_READS_MAX
        self._reads: dict[_Read, None] = {}
        self._unread: FairQueue[asyncio.Future[None]] = FairQueue(CALLS_UNREAD_MAX)
        self._held = HeldBytes()
        self._timer: asyncio.TimerHandle | None = None
        self._ends: set[asyncio.Task[None]] = set()  # held here: the loop itself keeps only weak references

    @property
    def held_bytes(self) -> int:
        """Return the bytes of all messages whose calls have not ended."""
        return self._held.total

    def message(self, context: Context) -> MessageOfCall:
        """Return a block that reads the message of the call, which counts until the end of the block.

        OverloadedError if it is refused.
        """
        return MessageOfCall(self, context)

    @contextlib.contextmanager
    def stream(self, end: Callable[[], None]) -> Iterator[None]:
        """Count a stream for the duration of the block, in which `end` may be called to end it.

        Raises OverloadedError if there are too many streams, UnavailableError if the server stops.
        """
        if self._is_ending:
            raise UnavailableError("the server is shutting down")
        if len(self._streams) >= STREAMS_MAX:
            raise self._shed(ShedReason.STREAMS)
        self.begin_call()
        key = object()
        self._streams[key] = end
        try:
            yield
        finally:
            del self._streams[key]
            self.end_call()

    def end_streams(self) -> None:
        """End all streams, because the server stops. Callers go on at another server."""
        self._is_ending = True
        for end in list(self._streams.values()):
            end()

    def hold(self, peer: str, size: int) -> None:
        """Count the bytes of a message until `release`. OverloadedError, and nothing is counted, if it is refused."""
        if not self._held.hold(peer, size):
            raise self._shed(ShedReason.BYTES_HELD)

    def release(self, peer: str, size: int) -> None:
        """Count bytes no longer."""
        self._held.release(peer, size)

    def begin_call(self) -> None:
        """Count a call until `end_call`. OverloadedError if there are too many."""
        if self._calls >= CALLS_MAX:
            raise self._shed(ShedReason.CALLS)
        self._calls += 1

    def end_call(self) -> None:
        """Count a call no longer."""
        self._calls -= 1

    async def read(self, context: Context, peer: str) -> IncomingMessage:
        """Read the message of a call that was counted. OverloadedError if it gets no place in time."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(peer)
        reading = _Read(context, asyncio.get_running_loop().time())
        self._reads[reading] = None
        try:
            raw: object = await context.read()
        finally:
            reading.over = True
            self._reads.pop(reading, None)
            self._release_place()
        return IncomingMessage(raw if isinstance(raw, bytes) else None)  # grpc.aio.EOF is not bytes

    async def _wait(self, peer: str) -> None:
        """Wait for a place and take it."""
        loop = asyncio.get_running_loop()
        group = Group(Flow(peer), 1, loop.create_future())
        displaced = self._unread.put(group)
        if displaced is None:
            raise self._shed(ShedReason.UNREAD)
        for other in displaced:
            other.entry.set_exception(self._shed(ShedReason.UNREAD))
        if self._timer is None:
            self._timer = loop.call_later(self._patience_seconds, self._end_slow)
        try:
            await group.entry
        except asyncio.CancelledError:
            if not self._unread.remove(group):
                self._release_place()  # it already had the place
            raise

    def _release_place(self) -> None:
        """Give the place to the next call that waits, if any."""
        while waiting := self._unread.take(1):
            if not waiting[0].entry.done():  # its caller may have cancelled
                waiting[0].entry.set_result(None)
                return
        self._free += 1

    def _end_slow(self) -> None:
        """End the slowest reads, one for each call that waits: their messages may never arrive."""
        loop = asyncio.get_running_loop()
        self._timer = None
        late = [read for read in self._reads if loop.time() - read.since >= self._patience_seconds]
        for reading in late[: self._unread.depth]:
            del self._reads[reading]
            end = loop.create_task(_end(reading, self._shed(ShedReason.SLOW_MESSAGE)))
            self._ends.add(end)
            end.add_done_callback(self._ends.discard)
        if self._unread:
            self._timer = loop.call_later(self._patience_seconds, self._end_slow)

    def _shed(self, reason: ShedReason) -> OverloadedError:
        self._on_shed(reason, 1)
        return OverloadedError(RETRY_AFTER_MS)


class MessageOfCall:
    """The block of `Intake.message`. A class costs a third of the Python calls of a generator, for each call."""

    def __init__(self, intake: Intake, context: Context) -> None:
        self._intake = intake
        self._context = context
        self._peer = context.peer()

    async def __aenter__(self) -> IncomingMessage:
        """Read the message, and count its bytes."""
        intake, peer = self._intake, self._peer
        intake.begin_call()
        try:
            message = await intake.read(self._context, peer)
            try:
                intake.hold(peer, message.size)
            except OverloadedError:
                message.take()
                raise
        except BaseException:
            intake.end_call()
            raise
        message.on_discard = functools.partial(intake.release, peer)
        self._message = message
        return message

    async def __aexit__(self, *_: object) -> None:
        """Count the message no longer."""
        self._intake.release(self._peer, self._message.size)
        self._intake.end_call()


async def _end(reading: _Read, error: OverloadedError) -> None:
    """End a call that waits for its message. gRPC then ends the stream that its handler reads."""
    if not reading.over:
        with contextlib.suppress(grpc.aio.AbortError, grpc.aio.InternalError):  # raised by abort; the call had ended
            await abort(reading.context, status_of(error))
