"""Bounds the memory that messages of callers take, whatever they send.

gRPC reads the message of a call before it runs the handler. So each method is registered as one that reads for itself,
and a message is read only when it has a place: at most MESSAGE_READS_MAX are read at once, in fair turns between
connections. What was read counts until its call ends, REQUEST_BYTES_HELD_MAX over all calls; what is beyond is refused
before it is parsed. Unread, a connection holds no more than its flow-control window.
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
from placet.transport.grpc.errors import turn_away

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from placet.transport.grpc.context import Context

FLOW_CONTROL: Final = (
    ("grpc.http2.bdp_probe", 0),  # else the window of what is not read yet grows with the speed of the network
    ("grpc.http2.lookahead_bytes", 65_536),
)
"""What gRPC may take in of a call that does not read."""
_PATIENCE_SECONDS: Final = MESSAGE_PATIENCE_MS / 1_000


class TurnedAway(StrEnum):
    """Why a call was turned away before its message was parsed."""

    CALLS = "calls"
    UNREAD = "unread"
    BYTES_HELD = "bytes_held"
    SLOW_MESSAGE = "slow_message"


@dataclass(slots=True, eq=False)
class _Read:
    """A message that is being read, or was."""

    context: Context
    since: float
    over: bool = False


class Message:
    """A message that was read; `take` gives it away, so that nothing here keeps it."""

    def __init__(self, raw: bytes | None) -> None:
        self._raw = raw
        self.size = len(raw or b"")

    def take(self) -> bytes | None:
        """The message, once; None when the caller sent none."""
        raw, self._raw = self._raw, None
        return raw


class Intake:
    """Reads messages. `on_shed` is told how many calls were turned away, and why. Belongs to one event loop."""

    def __init__(self, on_shed: Callable[[str, int], None], patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._on_shed = on_shed
        self._patience_seconds = patience_seconds
        self._calls = 0
        self._free = MESSAGE_READS_MAX
        self._reads: dict[_Read, None] = {}
        self._unread: FairQueue[asyncio.Future[None]] = FairQueue(CALLS_UNREAD_MAX)
        self._held = 0
        self._held_by: Counter[str] = Counter()
        self._look: asyncio.TimerHandle | None = None
        self._ends: set[asyncio.Task[None]] = set()  # held here: the loop itself keeps only weak references

    @property
    def held_bytes(self) -> int:
        """Bytes of the messages whose calls are under way."""
        return self._held

    @contextlib.asynccontextmanager
    async def message(self, context: Context) -> AsyncIterator[Message]:
        """The call's message. It counts until the end of the block. OverloadedError when it is turned away."""
        peer = context.peer()
        if self._calls >= CALLS_MAX:
            raise self._turned_away(TurnedAway.CALLS)
        self._calls += 1
        try:
            message = await self._read(context, peer)
            self._hold(peer, message)
            try:
                yield message
            finally:
                self._let_go(peer, message.size)
        finally:
            self._calls -= 1

    async def _read(self, context: Context, peer: str) -> Message:
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
            self._pass_on()
        return Message(raw if isinstance(raw, bytes) else None)  # grpc.aio.EOF is none

    async def _wait(self, peer: str) -> None:
        """Wait for a place, which is then taken."""
        loop = asyncio.get_running_loop()
        group = Group(Flow(peer), 1, loop.create_future())
        gone = self._unread.put(group)
        if gone is None:
            raise self._turned_away(TurnedAway.UNREAD)
        for each in gone:
            each.entry.set_exception(self._turned_away(TurnedAway.UNREAD))
        if self._look is None:
            self._look = loop.call_later(self._patience_seconds, self._end_slow)
        try:
            await group.entry
        except asyncio.CancelledError:
            if not self._unread.remove(group):
                self._pass_on()  # the place was its own already
            raise

    def _pass_on(self) -> None:
        """Give a place that is free to whoever's turn it is."""
        while waiting := self._unread.take(1):
            if not waiting[0].entry.done():  # its caller may be gone
                waiting[0].entry.set_result(None)
                return
        self._free += 1

    def _end_slow(self) -> None:
        """End the reads that take longest, as many as others wait for: their messages may never come."""
        loop = asyncio.get_running_loop()
        self._look = None
        late = [each for each in self._reads if loop.time() - each.since >= self._patience_seconds]
        for reading in late[: self._unread.depth]:
            del self._reads[reading]
            end = loop.create_task(_end(reading, self._turned_away(TurnedAway.SLOW_MESSAGE)))
            self._ends.add(end)
            end.add_done_callback(self._ends.discard)
        if self._unread:
            self._look = loop.call_later(self._patience_seconds, self._end_slow)

    def _hold(self, peer: str, message: Message) -> None:
        """Count a message that was read. Small ones, and other connections, keep a part for themselves."""
        size = message.size
        room = REQUEST_BYTES_HELD_MAX * 3 // 4 if size > LARGE_MESSAGE_BYTES else REQUEST_BYTES_HELD_MAX
        if self._held + size > room or self._held_by[peer] + size > REQUEST_BYTES_HELD_MAX // 2:
            message.take()
            raise self._turned_away(TurnedAway.BYTES_HELD)
        self._held += size
        self._held_by[peer] += size

    def _let_go(self, peer: str, size: int) -> None:
        self._held -= size
        self._held_by[peer] -= size
        if not self._held_by[peer]:
            del self._held_by[peer]

    def _turned_away(self, why: TurnedAway) -> OverloadedError:
        self._on_shed(why, 1)
        return OverloadedError(RETRY_AFTER_MS)


async def _end(reading: _Read, error: OverloadedError) -> None:
    """End a call whose handler waits for its message: gRPC then gives the handler the end of the stream."""
    if not reading.over:
        with contextlib.suppress(grpc.aio.AbortError, grpc.aio.InternalError):  # what abort raises; that it was over
            await turn_away(reading.context, error)
