"""A stream of requests for asyncio: many requests share one AuthorizeStream call."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc

from placet.sdk import failures
from placet.sdk._transport import stream_messages
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk._transport.stream_messages import AUTHORIZE_STREAM, ENDED, PAUSE_SECONDS, REFUSED
from placet.sdk.errors import CallFailedError
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from placet.sdk._transport.bearer import Bearer
    from placet.v1 import decision_pb2

    Answer: TypeAlias = decision_pb2.Decision | Failure

TIMEOUT: Final = Failure(failures.TIMEOUT)
WRITE_FAILED: Final = "Internal error from Core"
"""Text of grpc.aio when a message was written to a stream that had ended. It hides the status of the stream."""


class AsyncRequestStream:
    """The stream of one channel, which the first request opens, and the next one after it ended. Of one event loop.

    Requests that are made in the same pass of the event loop are sent in one message.
    """

    def __init__(self, channel: grpc.aio.Channel, bearer: Bearer) -> None:
        self._channel = channel
        self._bearer = bearer
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._outgoing: dict[str, bytes] = {}  # not written yet
        self._has_outgoing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._last_id = 0
        self._paused_until = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether the server refused a stream lately, so that requests are sent as unary calls."""
        return time.monotonic() < self._paused_until

    async def send(self, raw: bytes, seconds: float, traceparent: str) -> Answer:
        """Send a request, and return its decision or why there is none: REFUSED if it must be sent as a unary call."""
        loop = asyncio.get_running_loop()
        self._last_id += 1
        id_, future = str(self._last_id), loop.create_future()
        self._waiting[id_] = future
        self._outgoing[id_] = stream_messages.encode(id_, raw, seconds, traceparent)
        self._has_outgoing.set()
        if self._running is None:
            self._running = loop.create_task(self._run(), name="placet-stream")
        timer = loop.call_later(seconds, _settle, future, TIMEOUT)
        try:
            answer: Answer = await future
        finally:
            timer.cancel()
            self._waiting.pop(id_, None)
            self._outgoing.pop(id_, None)
        return answer

    def cancel(self) -> None:
        """End the stream. Requests in progress are answered with CLOSED."""
        if self._running is not None:
            self._running.cancel()

    async def close(self, seconds: float) -> None:
        """Wait up to `seconds` for the answers of all requests, then end the stream."""
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()), timeout=seconds)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        """Open the stream, and answer requests until it ends. Then answer all that wait with its failure."""
        answer = failures.CLOSED  # when this task is cancelled
        try:
            answer = await self._exchange()
        finally:
            self._running = None
            self._outgoing.clear()
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                _settle(future, answer)

    async def _exchange(self) -> Failure:
        """Send and receive until the stream ends, and return the answer to the requests that were not answered."""
        call = None
        writing = None
        try:
            open_stream = self._channel.stream_stream(AUTHORIZE_STREAM, None, None)
            call = open_stream(metadata=self._bearer.metadata())  # type: ignore[call-arg] # optional in fact
            writing = asyncio.create_task(self._write(call), name="placet-stream-writer")
            while isinstance(raw := await call.read(), bytes):
                for id_, answer in stream_messages.decode(raw):
                    if future := self._waiting.get(id_):
                        _settle(future, answer)
        except grpc.aio.AioRpcError as error:
            return self._after(failure_from_rpc_error(error))
        except CallFailedError as error:
            return self._after(error.failure)
        except grpc.aio.UsageError:  # gRPC raises it for a channel that was closed
            return failures.CLOSED
        finally:
            if writing is not None:
                writing.cancel()
            if call is not None:
                call.cancel()
        return ENDED

    def _after(self, failure: Failure) -> Failure:
        answer = stream_messages.answer_for_all(failure)
        if answer is REFUSED and WRITE_FAILED not in failure.detail:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        return answer

    async def _write(self, call: grpc.aio.StreamStreamCall) -> None:  # type: ignore[type-arg] # no generic at run time
        """Write requests until the task is cancelled, or the stream ends, which the reader learns too."""
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing.clear()
                while self._outgoing:
                    await call.write(stream_messages.take(self._outgoing))
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return


def _settle(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
