"""One AuthorizeStream call, whose answers a test waits for."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import grpc

from placet.v1 import authorization_pb2
from tests.transport.wire import SECONDS_MAX, Refusal, refusal_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator

AUTHORIZE_STREAM = "/placet.v1.AuthorizationService/AuthorizeStream"
QUIET_SECONDS = 0.5


def streamed(id_: str, message: authorization_pb2.AuthorizeRequest | None = None, **fields: Any) -> Any:
    """Return a valid request of a stream."""
    return authorization_pb2.StreamedRequest(id=id_, request=message or request(), **fields)


class StreamCall:
    """A call over its own channel. `answers` has every answer in order, `messages` their number in each message."""

    def __init__(self, address: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self._moved = threading.Condition()
        self.sent = 0
        self.answers: list[authorization_pb2.StreamedResponse] = []
        self.messages: list[int] = []
        self.end: Refusal | None = None
        self.ended = False
        self.call = self._channel.stream_stream(AUTHORIZE_STREAM, None, None)(self._next(), metadata=metadata)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self.cancel()
        self._channel.close()
        self._thread.join(SECONDS_MAX)

    def send(self, *requests: authorization_pb2.StreamedRequest) -> None:
        """Send the requests in one message."""
        self.send_raw(authorization_pb2.AuthorizeStreamRequest(requests=requests).SerializeToString())

    def send_raw(self, message: bytes) -> None:
        self._requests.put(message)

    def half_close(self) -> None:
        self._requests.put(None)

    def cancel(self) -> None:
        self.call.cancel()  # type: ignore[no-untyped-call] # gRPC's stubs do not type it

    def wait(self, count: int, seconds: float = SECONDS_MAX) -> list[authorization_pb2.StreamedResponse]:
        """Wait until there are so many answers, and return all of them."""
        with self._moved:
            assert self._moved.wait_for(lambda: len(self.answers) >= count or self.ended, seconds), len(self.answers)
        assert len(self.answers) >= count, self.end
        return self.answers

    def wait_for_end(self, seconds: float = SECONDS_MAX) -> Refusal | None:
        """Wait until the call ends, and return its status; None for OK."""
        with self._moved:
            assert self._moved.wait_for(lambda: self.ended, seconds)
        return self.end

    def wait_until_held_back(self) -> int:
        """Wait until gRPC takes no more messages, and return how many it took."""
        before = -1
        while before != self.sent:
            before = self.sent
            time.sleep(QUIET_SECONDS)
        return before

    def _next(self) -> Iterator[bytes]:
        while (message := self._requests.get()) is not None:
            self.sent += 1
            yield message

    def _read(self) -> None:
        try:
            for raw in self.call:
                responses = authorization_pb2.AuthorizeStreamResponse.FromString(raw).responses
                with self._moved:
                    self.answers += responses
                    self.messages.append(len(responses))
                    self._moved.notify_all()
        except grpc.RpcError as error:
            self.end = refusal_of(error)
        with self._moved:
            self.ended = True
            self._moved.notify_all()
