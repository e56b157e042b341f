"""Answers the requests of one AuthorizeStream call, each in a separate task.

The requests of one message are started together, so that they are decided in one batch, and answers that are ready
together are sent in one message. A request is in flight from when it starts until its answer is sent. The stream reads
no further while STREAM_IN_FLIGHT_MAX requests are in flight, so that HTTP/2 flow control holds the caller back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import grpc
from google.rpc import code_pb2

from placet.kernel.errors import OverloadedError, UnavailableError
from placet.kernel.limits import STREAM_ANSWER_BYTES, STREAM_IN_FLIGHT_MAX
from placet.scheduling.slices import pause
from placet.transport.grpc.incoming import requests_of
from placet.v1.authorization_pb2 import AuthorizeStreamResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from placet.transport.grpc.context import Context
    from placet.transport.grpc.incoming import IncomingRequest
    from placet.transport.grpc.intake import Intake
    from placet.v1.authorization_pb2 import StreamedResponse

STARTED_TOGETHER: Final = 64
"""Requests that start in one pass of the event loop: parsing them takes some milliseconds."""
_LENGTH: Final = 2
_TAG: Final = bytes([AuthorizeStreamResponse.DESCRIPTOR.fields_by_name["responses"].number << 3 | _LENGTH])


class RequestStream:
    """One call. `answer` returns the answer to a request, also if the request is invalid or cannot be decided."""

    def __init__(
        self,
        answer: Callable[[IncomingRequest, Context], Awaitable[StreamedResponse]],
        context: Context,
        intake: Intake,
    ) -> None:
        self._answer_to = answer
        self._context = context
        self._intake = intake
        self._peer = context.peer()
        self._held = 0  # bytes of requests that are not answered
        self._in_flight = 0
        self._ids: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: deque[tuple[IncomingRequest, bytes]] = deque()
        self._news = asyncio.Event()  # an answer is ready, the reading ended, or a request failed
        self._sent = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._refused: Exception | None = None
        self.recheck: Callable[[], Awaitable[None]] = _no_check
        """Called before an answer that says UNAUTHENTICATED. It calls `refuse` if the caller is not authenticated."""

    async def run(self) -> None:
        """Answer requests until the caller ends its side, and send all answers.

        When the server stops, answer the requests that started, then raise UnavailableError. When the caller is no
        longer authenticated, answer them, then raise why. When the call is cancelled, its requests are treated as
        cancelled unary calls are: those that were submitted are decided.
        """
        with self._intake.stream(self.end):
            self._reading = asyncio.create_task(self._read(), name="placet-stream")
            self._reading.add_done_callback(self._ended)
            try:
                while True:
                    self._news.clear()
                    await self._send()
                    if self._error is not None:
                        raise self._error
                    if self._reading.done() and not self._in_flight:
                        break
                    await self._news.wait()
            except (
                grpc.aio.InternalError,
                grpc.aio.UsageError,
            ):  # the caller is gone, or the server cancelled the call
                return
            finally:
                self._reading.cancel()
                for task in self._tasks:
                    task.cancel()
                self._intake.release(self._peer, self._held)
        if self._refused is not None:
            raise self._refused
        if self._reading.cancelled():
            raise UnavailableError("the server is shutting down; send what was not answered again, over a new stream")

    def end(self) -> None:
        """Read no further, because the server stops."""
        if self._reading is not None:
            self._reading.cancel()

    def refuse(self, error: Exception) -> None:
        """Read no further, because the caller is no longer authenticated: the stream ends with the error."""
        self._refused = self._refused or error
        self.end()

    async def _read(self) -> None:
        while await self._read_message():
            pass

    async def _read_message(self) -> bool:
        """Start the requests of the next message. Return False if the caller ended its side.

        The frame that waits for a message refers to none before it: bytes that were answered are not counted.
        """
        raw = await self._context.read()
        if not isinstance(raw, bytes):
            return False
        for number, request in enumerate(self._requests(raw), 1):
            while self._in_flight >= STREAM_IN_FLIGHT_MAX:
                self._sent.clear()
                await self._sent.wait()
            self._start(request)
            # A large request is deserialized in its task.
            if request.request is None or number % STARTED_TOGETHER == 0:
                await pause()
        return True

    def _requests(self, raw: bytes) -> Sequence[IncomingRequest]:
        """Return the requests of a message. Its bytes are held until all of them are answered."""
        try:
            self._intake.hold(self._peer, len(raw))
        except OverloadedError as error:
            return requests_of(raw, error)
        self._held += len(raw)
        requests = requests_of(raw)
        share, rest = divmod(len(raw), len(requests))
        for request in requests:
            request.size = share
        requests[0].size += rest
        return requests

    def _start(self, request: IncomingRequest) -> None:
        self._in_flight += 1
        request.id_in_flight = request.id in self._ids
        self._ids.add(request.id)
        task = asyncio.create_task(self._answer(request), name="placet-streamed-request")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _answer(self, request: IncomingRequest) -> None:
        response = await self._answer_to(request, self._context)
        if response.error.code == code_pb2.UNAUTHENTICATED:
            await self.recheck()  # it may be the user's token alone that is wrong
        self._answers.append((request, response.SerializeToString()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Go on after a request is answered or the reading ended."""
        self._tasks.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()
        self._news.set()

    async def _send(self) -> None:
        """Send all answers that are ready, in as few messages as possible."""
        while self._answers:
            answers = self._take_answers()
            await self._context.write(_message(answers))
            self._in_flight -= len(answers)
            self._sent.set()

    def _take_answers(self) -> list[bytes]:
        """Return the answers of the next message, and release their requests."""
        answers: list[bytes] = []
        size = 0
        while self._answers and size < STREAM_ANSWER_BYTES:
            request, answer = self._answers.popleft()
            size += len(answer)
            answers.append(answer)
            self._forget(request)
        return answers

    def _forget(self, request: IncomingRequest) -> None:
        """Release the id and the bytes of a request: its caller may use the id again once it has the answer."""
        if not request.id_in_flight:
            self._ids.discard(request.id)
        self._held -= request.size
        self._intake.release(self._peer, request.size)


async def _no_check() -> None:
    """Do nothing: callers are not authenticated."""


def _message(answers: Iterable[bytes]) -> bytes:
    """Return the AuthorizeStreamResponse of serialized answers, without copying them into a message first."""
    parts: list[bytes] = []
    for answer in answers:
        parts += (_TAG, _varint(len(answer)), answer)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits in each byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
