"""Calls that block: one channel, each call with its tries, within its deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self, TypeVar

import grpc
from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk._transport import fork
from placet.sdk._transport.options import OPTIONS, Defaults, validate_address, validate_timeout, validate_wait
from placet.sdk._transport.resume import StreamPosition
from placet.sdk._transport.retry import Attempts
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk.defaults import CALL_SECONDS_MAX, DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS
from placet.sdk.errors import CallFailedError, error_from_failure
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

    from placet.v1 import approval_pb2, authorization_pb2

_Answer = TypeVar("_Answer")
_Asked = TypeVar("_Asked", "authorization_pb2.WatchDecisionRequest", "approval_pb2.WatchApprovalsRequest")
_Moved = TypeVar("_Moved", "authorization_pb2.WatchDecisionResponse", "approval_pb2.WatchApprovalsResponse")
CLOSED = Failure(failures.ERROR, "this client is closed")
READ_RETRY_SECONDS: Final = 2.0
"""How long a call that only reads is tried again: people wait for it, and its deadline is made for long answers."""


class BlockingChannel:
    """A connection, made when the first call needs it. Safe to use from several threads.

    ValueError when the address is not host:port.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._address = validate_address(address)
        self._credentials = credentials
        self._channels: dict[int, grpc.Channel] = {}
        self._closed = False

    def _connected(self) -> grpc.Channel:
        """The channel, made by the process that uses it. CallFailedError when there can be none."""
        if self._closed:
            raise error_from_failure(CLOSED)
        if fork.is_lost():
            raise error_from_failure(fork.FORKED)
        mine = fork.generation()
        channel = self._channels.get(mine)
        if channel is None:
            fork.note_channel(polling=False)
            made = self._made()
            channel = self._channels.setdefault(mine, made)  # another thread may have been quicker
            if channel is not made:
                made.close()
        return channel

    def _made(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self._address, options=OPTIONS)
        return grpc.secure_channel(self._address, self._credentials, options=OPTIONS)

    def call(
        self, method: str, raw: bytes, attempts: Attempts, metadata: tuple[tuple[str, str], ...] = ()
    ) -> bytes | Failure:
        """The answer's bytes, or why there are none after all tries that `attempts` allows."""
        while True:
            answer = self._try(method, raw, attempts.remaining(), metadata)
            if not isinstance(answer, Failure):
                return answer
            delay = attempts.delay_after(answer)
            if delay is None:
                return answer
            time.sleep(delay)

    def _try(self, method: str, raw: bytes, timeout: float, metadata: tuple[tuple[str, str], ...]) -> bytes | Failure:
        if not timeout > 0:
            return Failure(failures.TIMEOUT)
        try:
            ask = self._connected().unary_unary(method, None, None)
            with fork.call_under_way():
                answer: bytes = ask(raw, timeout=timeout, metadata=metadata)
        except CallFailedError as error:
            return error.failure
        except grpc.RpcError as error:
            return failure_from_rpc_error(error)
        except ValueError:  # what grpc says of a channel that is closed
            return CLOSED
        return answer

    def read(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], _Answer],
        timeout: float,
        at_most: float = CALL_SECONDS_MAX,
    ) -> _Answer:
        """The answer to a call that only reads. CallFailedError when there is none that can be read."""
        attempts = Attempts(validate_timeout(timeout, at_most), retry_seconds=READ_RETRY_SECONDS)
        return self._asked(method, request, parse, attempts)

    def change(self, method: str, request: Message, parse: Callable[[bytes], _Answer], timeout: float) -> _Answer:
        """The answer to a call that changes something, which is tried once: done twice it would change twice.

        CallFailedError when there is no answer; it may have been done all the same.
        """
        return self._asked(method, request, parse, Attempts(validate_timeout(timeout), retry_seconds=0))

    def _asked(self, method: str, request: Message, parse: Callable[[bytes], _Answer], attempts: Attempts) -> _Answer:
        answer = self.call(method, request.SerializeToString(), attempts)
        if isinstance(answer, Failure):
            raise error_from_failure(answer)
        try:
            return parse(answer)
        except DecodeError as error:
            raise error_from_failure(Failure(failures.ANSWER_INVALID, "it is not of this method")) from error

    def follow(
        self,
        method: str,
        request: _Asked,
        parse: Callable[[bytes], _Moved],
        cursor: str,
        timeout: float | None,
    ) -> Iterator[_Moved]:
        """The messages of a stream, which goes on after a lost connection; CallFailedError when it cannot.

        ValueError at once when `timeout` is out of range.
        """
        return self._messages(method, request, parse, cursor, validate_wait(timeout))

    def _messages(
        self,
        method: str,
        request: _Asked,
        parse: Callable[[bytes], _Moved],
        cursor: str,
        seconds: float | None,
    ) -> Iterator[_Moved]:
        place = StreamPosition(cursor, seconds)
        while True:
            request.cursor = place.cursor
            try:
                for raw in self._stream(method, request.SerializeToString(), place.seconds):
                    message = parse(raw)
                    place.read(message.cursor)
                    yield message
            except grpc.RpcError as error:
                delay = place.delay_after(failure_from_rpc_error(error))
            except DecodeError as error:
                raise error_from_failure(Failure(failures.ANSWER_INVALID, "it is not of this method")) from error
            except ValueError:  # what grpc says of a channel that is closed
                raise error_from_failure(CLOSED) from None
            else:
                return
            time.sleep(delay)

    def _stream(self, method: str, raw: bytes, seconds: float | None) -> Iterator[bytes]:
        """The messages of one connection."""
        stream = self._connected().unary_stream(method, None, None)
        with fork.call_under_way():
            call = stream(raw, timeout=seconds)
            try:
                yield from call
            finally:
                call.cancel()  # type: ignore[no-untyped-call] # of grpc's own

    def close(self) -> None:
        """End the connection; calls under way fail, and no more are made."""
        self._closed = True
        channel = self._channels.get(fork.generation())
        if channel is not None and not fork.is_lost():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BlockingClient:
    """What clients that block share: a connection, and the seconds that a call may take."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._timeout = Defaults(timeout, "raise").timeout
        self._channel = BlockingChannel(address, credentials)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
