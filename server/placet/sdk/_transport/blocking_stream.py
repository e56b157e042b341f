"""A stream of requests for code that blocks: the requests of all threads share one AuthorizeStream call."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc

from placet.sdk import failures
from placet.sdk._transport import fork, stream_messages
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk._transport.stream_messages import AUTHORIZE_STREAM, ENDED, PAUSE_SECONDS, REFUSED
from placet.sdk.errors import CallFailedError
from placet.sdk.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.sdk._transport.bearer import Bearer
    from placet.v1 import decision_pb2

    Answer: TypeAlias = decision_pb2.Decision | Failure

TIMEOUT: Final = Failure(failures.TIMEOUT)


class RequestStream:
    """The stream of one channel, which the first request opens, and the next one after it ended.

    Safe to use from several threads. A thread of gRPC writes the requests, a thread of this class reads the answers.
    Requests that are made while a message is written are sent in the next message.
    """

    def __init__(self, channel: grpc.Channel, bearer: Bearer) -> None:
        self._channel = channel
        self._bearer = bearer
        self._changed = threading.Condition()
        self._call: _Call | None = None
        self._last_id = 0
        self._paused_until = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether there could be no stream lately, so that requests are sent as unary calls."""
        return time.monotonic() < self._paused_until

    def send(self, raw: bytes, seconds: float, traceparent: str) -> Answer:
        """Send a request, and return its decision or why there is none: REFUSED if it must be sent as a unary call."""
        answer: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with self._changed:
            self._last_id += 1
            id_ = str(self._last_id)
            if self._call is None:
                self._call = _Call()
                thread = threading.Thread(target=self._run, args=(self._call,), name="placet-stream", daemon=True)
                try:
                    thread.start()
                except (MemoryError, RuntimeError):  # the process or the machine can have no more threads
                    self._end(self._call, REFUSED)
                    self._paused_until = time.monotonic() + PAUSE_SECONDS
                    return REFUSED
            call = self._call
            call.waiting[id_] = answer
            call.outgoing[id_] = stream_messages.encode(id_, raw, seconds, traceparent)
            self._changed.notify()
        try:
            return answer.get(timeout=seconds)
        except queue.Empty:
            return TIMEOUT
        finally:
            with self._changed:
                call.waiting.pop(id_, None)
                call.outgoing.pop(id_, None)
                if call.is_ending and not call.waiting:
                    self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Wait up to `seconds` for the answers of all requests, then end the stream."""
        with self._changed:
            call = self._call
            if call is None:
                return
            call.is_ending = True
            self._changed.wait_for(lambda: not call.waiting, seconds)
            self._end(call, failures.CLOSED)
        call.ended.wait(seconds)

    def end_if_idle(self, seconds: float) -> None:
        """End the stream unless a request waits for its answer, and wait up to `seconds` until gRPC is done with it."""
        with self._changed:
            call = self._call
            if call is None or call.waiting:
                return
            self._end(call, ENDED)
        call.ended.wait(seconds)

    def _run(self, call: _Call) -> None:
        """Open the stream, and answer requests until it ends. Then answer all that wait with its failure."""
        answer = failures.CLOSED
        try:
            with fork.call_in_progress():
                answer = self._exchange(call)
        finally:
            with self._changed:
                self._end(call, answer)
            call.ended.set()

    def _exchange(self, call: _Call) -> Failure:
        """Receive until the stream ends, and return the answer to the requests that were not answered."""
        try:
            open_stream = self._channel.stream_stream(AUTHORIZE_STREAM, None, None)
            responses = open_stream(self._messages(call), metadata=self._bearer.metadata())
            try:
                for raw in responses:
                    for id_, answer in stream_messages.decode(raw):
                        if waiting := call.waiting.get(id_):
                            waiting.put(answer)
            finally:
                responses.cancel()  # type: ignore[no-untyped-call] # gRPC's stubs do not type it
        except grpc.RpcError as error:
            return self._after(failure_from_rpc_error(error))
        except CallFailedError as error:
            return self._after(error.failure)
        except ValueError:  # gRPC raises it for a channel that another thread closed
            return failures.CLOSED
        return ENDED

    def _after(self, failure: Failure) -> Failure:
        answer = stream_messages.answer_for_all(failure)
        if answer is REFUSED:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
        return answer

    def _messages(self, call: _Call) -> Iterator[bytes]:
        """Yield messages until the stream ends. Runs in a thread of gRPC."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: call.outgoing or call.is_over)
                if not call.outgoing:
                    return
                message = stream_messages.take(call.outgoing)
            yield message

    def _end(self, call: _Call, answer: Failure) -> None:
        """End the stream from this side, and answer all that wait. The lock is held."""
        if self._call is call:
            self._call = None
        call.is_over = True
        call.outgoing.clear()
        for waiting in call.waiting.values():
            waiting.put(answer)
        self._changed.notify_all()


class _Call:
    """One AuthorizeStream call, with its requests that are not written and those that are not answered."""

    def __init__(self) -> None:
        self.waiting: dict[str, queue.SimpleQueue[Answer]] = {}
        self.outgoing: dict[str, bytes] = {}
        self.is_ending = False
        self.is_over = False
        self.ended = threading.Event()
