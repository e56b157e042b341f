"""Answers the requests of a stream by the script of Authorize: each in its own thread, as a server does."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    Answer = Callable[[bytes, Any], bytes]


class _Aborted(Exception):  # noqa: N818 - how a script ends a call
    """The status with which a script ends a call."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.status = status
        super().__init__(status.message)


class RequestContext:
    """What a script needs of a call's context, for one request of a stream."""

    def __init__(self, stream: grpc.ServicerContext, streamed: authorization_pb2.StreamedRequest) -> None:
        self._stream = stream
        self._details = b""
        self.timeout_ms = streamed.timeout_ms
        self.traceparent = streamed.traceparent

    def invocation_metadata(self) -> list[tuple[str, Any]]:
        own = [("traceparent", self.traceparent)] if self.traceparent else []
        return [*self._stream.invocation_metadata(), *own]

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return bool(self._stream.add_callback(callback))

    def set_trailing_metadata(self, metadata: tuple[tuple[str, bytes], ...]) -> None:
        self._details = metadata[0][1]

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        status = status_pb2.Status(code=code.value[0], message=text)
        with contextlib.suppress(Exception):  # a trailer that a test made malformed
            status.details.extend(status_pb2.Status.FromString(self._details).details)
        raise _Aborted(status)

    def abort_with_status(self, status: Any) -> None:
        details = dict(status.trailing_metadata or ())
        self._details = details.get("grpc-status-details-bin", b"")
        self.abort(status.code, status.details)


class ScriptedStream:
    """One stream. It ends after `requests_max` requests, without answering the last; None for no limit."""

    def __init__(self, context: grpc.ServicerContext, answer: Answer, requests_max: int | None) -> None:
        self._context = context
        self._answer = answer
        self._requests_max = requests_max
        self._ready: queue.Queue[bytes | None] = queue.Queue()

    def answers(self, messages: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the answers, in any order."""
        threading.Thread(target=self._read, args=(messages,), daemon=True).start()
        while (response := self._ready.get()) is not None:
            yield response

    def _read(self, messages: Iterator[bytes]) -> None:
        threads: list[threading.Thread] = []
        with contextlib.suppress(Exception):  # the caller is gone
            for message in messages:
                for streamed in authorization_pb2.AuthorizeStreamRequest.FromString(message).requests:
                    if len(threads) + 1 == self._requests_max:
                        self._ready.put(None)
                        return
                    threads.append(threading.Thread(target=self._respond, args=(streamed,), daemon=True))
                    threads[-1].start()
        for thread in threads:
            thread.join(30)
        self._ready.put(None)

    def _respond(self, streamed: authorization_pb2.StreamedRequest) -> None:
        response = authorization_pb2.StreamedResponse(id=streamed.id)
        try:
            raw = self._answer(streamed.request.SerializeToString(), RequestContext(self._context, streamed))
            unary = authorization_pb2.AuthorizeResponse.FromString(raw)
            if unary.HasField("decision"):
                response.decision.CopyFrom(unary.decision)
        except DecodeError:
            self._ready.put(raw)
            return
        except _Aborted as aborted:
            response.error.CopyFrom(aborted.status)
        self._ready.put(authorization_pb2.AuthorizeStreamResponse(responses=[response]).SerializeToString())
