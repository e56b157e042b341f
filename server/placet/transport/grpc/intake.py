"""Bounds the memory that request messages take.

gRPC reads the message of a unary call before it runs the handler. So the server registers each method as one with
streaming requests, which reads for itself, and reads a message only when it has a place: at most MESSAGE_READS_MAX
messages are read at once, in fair turns between connections. The bytes that were read count until their call ends, and
are bounded by REQUEST_BYTES_HELD_MAX over all calls. A call that exceeds a bound is refused before its message is
deserialized. A call that is not read holds no more than the flow-control window of its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import grpc

from placet.kernel.errors import OverloadedError
from placet.kernel.limits import (
    CALLS_MAX,
    CALLS_UNREAD_MAX,
    LARGE_MESSAGE_BYTES,
    MESSAGE_PATIENCE_MS,
    MESSAGE_READS_MAX,
    REQUEST_BYTES_HELD_MAX,
    RETRY_AFTER_MS,
)
from placet.scheduling.fair_queue import FairQueue, Flow, Group
from placet.transport.grpc.errors import abort, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message

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
    UNREAD = "unread"
    BYTES_HELD = "bytes_held"
    SLOW_MESSAGE = "slow_message"


@dataclass(slots=True, eq=False)
class _Read:
    """The read of one message. `over` is True once it ended."""

    context: Context
    since: float
    over: bool = False


class IncomingMessage:
    """A message that was read.

    `size` is in bytes. `is_present` is False if the caller sent none. `request` is the deserialized message, None until
    there is one.
    """

    def __init__(self, raw: bytes | None) -> None:
        self._raw = raw or b""
        self.is_present = raw is not None
        self.size = len(self._raw)
        self.request: Message | None = None

    def take(self) -> bytes:
        """Return the bytes and release them. The next call returns no bytes."""
        raw, self._raw = self._raw, b""
        return raw


class Intake:
    """Reads messages. `on_shed` receives the reason and the number of refused calls. Belongs to one event loop."""

    def __init__(self, on_shed: Callable[[str, int], None], patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._on_shed = on_shed
        self._patience_seconds = patience_seconds
        self._calls = 0
        self._free = MESSAGE_READS_MAX
        self._reads: dict[_Read, None] = {}
        self._unread: FairQueue[asyncio.Future[None]] = FairQueue(CALLS_UNREAD_MAX)
        self._held = 0
        self._held_by: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._ends: set[asyncio.Task[None]] = set()  # held here: the loop itself keeps only weak references

    @property
    def held_bytes(self) -> int:
        """Return the bytes of all messages whose calls have not ended."""
        return self._held

    @contextlib.asynccontextmanager
    async def message(self, context: Context) -> AsyncIterator[IncomingMessage]:
        """Yield the message of the call, which counts until the end of the block. OverloadedError if it is refused."""
        peer = context.peer()
        if self._calls >= CALLS_MAX:
            raise self._shed(ShedReason.CALLS)
        self._calls += 1
        try:
            message = await self._read(context, peer)
            self._hold(peer, message)
            try:
                yield message
            finally:
                self._release(peer, message.size)
        finally:
            self._calls -= 1

    async def _read(self, context: Context, peer: str) -> IncomingMessage:
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

    def _hold(self, peer: str, message: IncomingMessage) -> None:
        """Count a message. A part of the bound is reserved for small messages, and a part for other connections."""
        size = message.size
        room = REQUEST_BYTES_HELD_MAX * 3 // 4 if size > LARGE_MESSAGE_BYTES else REQUEST_BYTES_HELD_MAX
        if self._held + size > room or self._held_by[peer] + size > REQUEST_BYTES_HELD_MAX // 2:
            message.take()
            raise self._shed(ShedReason.BYTES_HELD)
        self._held += size
        self._held_by[peer] += size

    def _release(self, peer: str, size: int) -> None:
        self._held -= size
        self._held_by[peer] -= size
        if not self._held_by[peer]:
            del self._held_by[peer]

    def _shed(self, reason: ShedReason) -> OverloadedError:
        self._on_shed(reason, 1)
        return OverloadedError(RETRY_AFTER_MS)


async def _end(reading: _Read, error: OverloadedError) -> None:
    """End a call that waits for its message. gRPC then ends the stream that its handler reads."""
    if not reading.over:
        with contextlib.suppress(grpc.aio.AbortError, grpc.aio.InternalError):  # raised by abort; the call had ended
            await abort(reading.context, status_of(error))
