"""Calls of asyncio clients: retries, timeouts, and streams that resume."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk._transport.aio import AsyncConnection
from placet.sdk._transport.options import validate_timeout, validate_wait
from placet.sdk._transport.retry import Attempts
from placet.sdk._transport.stream_position import StreamPosition
from placet.sdk._wire.methods import AUTHORIZE
from placet.sdk.defaults import CALL_SECONDS_MAX
from placet.sdk.errors import CallFailedError, error_from_failure
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import grpc
    from google.protobuf.message import Message

    from placet.sdk._transport.bearer import Bearer
    from placet.sdk._transport.options import Metadata
    from placet.v1 import approval_pb2, authorization_pb2, decision_pb2

_Answer = TypeVar("_Answer")
_Response = TypeVar("_Response")
_Change = TypeVar("_Change")
_WatchRequest = TypeVar("_WatchRequest", "authorization_pb2.WatchDecisionRequest", "approval_pb2.WatchApprovalsRequest")
_WatchResponse = TypeVar(
    "_WatchResponse", "authorization_pb2.WatchDecisionResponse", "approval_pb2.WatchApprovalsResponse"
)
READ_RETRY_SECONDS: Final = 2.0
"""Period in which a read is tried again. It is short because the timeout of a read allows for a slow response."""


class AsyncChannel:
    """Sends calls over one connection, with retries. Raises ValueError if the address has no such form."""

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials | None = None, bearer: Bearer | None = None
    ) -> None:
        self._connection = AsyncConnection(address, credentials, bearer)

    async def call(self, method: str, raw: bytes, attempts: Attempts, metadata: Metadata = ()) -> bytes | Failure:
        """Send a request until it is answered, and return the response's bytes or the last failure."""
        return await self._repeat(lambda seconds: self._connection.unary(method, raw, seconds, metadata), attempts)

    async def authorize(
        self, raw: bytes, attempts: Attempts, metadata: Metadata
    ) -> bytes | decision_pb2.Decision | Failure:
        """Send a request of Authorize over the stream until it is answered. Returns its answer, or the last failure.

        When the stream ends, the request is sent again over a new one, with the same idempotency key.
        """
        send = self._connection.streamed
        return await self._repeat(lambda seconds: send(AUTHORIZE, raw, seconds, metadata), attempts)

    async def _repeat(
        self, send: Callable[[float], Awaitable[_Answer | Failure]], attempts: Attempts
    ) -> _Answer | Failure:
        """Call `send` with the seconds that are left until it returns an answer, or a failure that is the last."""
        while True:
            remaining = attempts.remaining()
            if not remaining > 0:
                return Failure(failures.TIMEOUT)
            answer = await send(remaining)
            if not isinstance(answer, Failure):
                return answer
            delay = attempts.delay_after(answer)
            if delay is None:
                return answer
            await asyncio.sleep(delay)

    async def read(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], _Response],
        timeout: float,
        maximum: float = CALL_SECONDS_MAX,
    ) -> _Response:
        """Call a method that only reads, and return the response. Raises CallFailedError."""
        attempts = Attempts(validate_timeout(timeout, maximum), retry_seconds=READ_RETRY_SECONDS)
        return await self._send(method, request, parse, attempts)

    async def change(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], _Response],
        timeout: float,
    ) -> _Response:
        """Call a method that changes something, and return the response. The call is never repeated.

        Raises CallFailedError if there is no response. The change may have been made all the same.
        """
        return await self._send(method, request, parse, Attempts(validate_timeout(timeout), retry_seconds=0))

    async def _send(
        self, method: str, request: Message, parse: Callable[[bytes], _Response], attempts: Attempts
    ) -> _Response:
        answer = await self.call(method, request.SerializeToString(), attempts)
        if isinstance(answer, Failure):
            raise error_from_failure(answer)
        try:
            return parse(answer)
        except DecodeError as error:
            raise error_from_failure(_undecodable(method)) from error

    def watch(
        self,
        method: str,
        request: _WatchRequest,
        parse: Callable[[bytes], _WatchResponse],
        to_change: Callable[[_WatchResponse], _Change | None],
        cursor: str,
        timeout: float | None,
    ) -> AsyncGenerator[_Change, None]:
        """Call a method that streams, and yield the changes. The stream resumes after a lost connection.

        Raises ValueError at once if `timeout` is out of range, and CallFailedError while iterating.
        """
        return self._changes(method, request, parse, to_change, cursor, validate_wait(timeout))

    async def _changes(
        self,
        method: str,
        request: _WatchRequest,
        parse: Callable[[bytes], _WatchResponse],
        to_change: Callable[[_WatchResponse], _Change | None],
        cursor: str,
        seconds: float | None,
    ) -> AsyncGenerator[_Change, None]:
        position = StreamPosition(cursor, seconds)
        while True:
            request.cursor = position.cursor
            try:
                stream = self._connection.stream(method, request.SerializeToString(), position.seconds)
                async with aclosing(stream) as responses:
                    async for raw in responses:
                        response = parse(raw)
                        position.advance(response.cursor)
                        change = to_change(response)
                        if change is not None:
                            yield change
            except CallFailedError as error:
                delay = position.delay_after(error.failure)
            except DecodeError as error:
                raise error_from_failure(_undecodable(method)) from error
            else:
                return
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Close the connection. Calls in progress fail, except those on a stream, and so does each later call."""
        await self._connection.close()


def _undecodable(method: str) -> Failure:
    return Failure(failures.ANSWER_INVALID, f"it is not a response of {method.rpartition('/')[2]}")
