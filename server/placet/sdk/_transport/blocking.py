"""A connection for code that blocks."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

import grpc

from placet.sdk import failures
from placet.sdk._transport import fork
from placet.sdk._transport.bearer import Bearer, is_refused_credential
from placet.sdk._transport.blocking_stream import RequestStream
from placet.sdk._transport.options import OPTIONS, validate_address
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk._transport.stream_messages import DRAIN_SECONDS, REFUSED, REQUEST_BYTES_MAX, SECONDS_MIN
from placet.sdk._transport.tls import environment_credentials
from placet.sdk.errors import CallFailedError, error_from_failure

if TYPE_CHECKING:
    from collections.abc import Generator

    from placet.sdk._transport.options import Metadata
    from placet.sdk.failures import Failure
    from placet.v1 import decision_pb2


class Connection:
    """A connection to one server, opened by the first call. Safe to use from several threads.

    A forked process opens a separate channel. Raises ValueError if the address is neither host:port nor unix:/path.
    """

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials | None = None, bearer: Bearer | None = None
    ) -> None:
        self._address = validate_address(address)
        self._credentials = credentials if credentials is not None else environment_credentials(address)
        self._bearer = bearer or Bearer(None, allow_plaintext=False)
        self._bearer.require_private(address, self._credentials)
        self._channels: dict[int, grpc.Channel] = {}
        self._streams: dict[int, RequestStream] = {}
        self._closed = False

    def unary(self, method: str, raw: bytes, seconds: float, metadata: Metadata) -> bytes | Failure:
        """Send one request, and return the bytes of the response or why there is none."""
        try:
            send = self._channel().unary_unary(method, None, None)
            metadata = (*metadata, *self._bearer.metadata())
            with fork.call_in_progress():
                response: bytes = send(raw, timeout=seconds, metadata=metadata)
        except CallFailedError as error:
            return error.failure
        except grpc.RpcError as error:
            return failure_from_rpc_error(error)
        except ValueError:  # gRPC raises it for a channel that another thread closed
            return failures.CLOSED
        return response

    def streamed(
        self, method: str, raw: bytes, seconds: float, metadata: Metadata
    ) -> bytes | decision_pb2.Decision | Failure:
        """Send one request of Authorize over the stream, or as a unary call if it is large or there is no stream."""
        deadline = time.monotonic() + seconds
        try:
            stream = self._stream()
        except CallFailedError as error:
            return error.failure
        if len(raw) <= REQUEST_BYTES_MAX and not stream.is_paused:
            answer = stream.send(raw, seconds, dict(metadata).get("traceparent", ""))
            if answer is not REFUSED and not is_refused_credential(answer):  # else with the current token
                return answer
        return self.unary(method, raw, max(deadline - time.monotonic(), SECONDS_MIN), metadata)

    def stream(self, method: str, raw: bytes, seconds: float | None) -> Generator[bytes, None, None]:
        """Send one request, and yield the bytes of each response. Raises CallFailedError."""
        open_stream = self._channel().unary_stream(method, None, None)
        metadata = self._bearer.metadata()
        try:
            with fork.call_in_progress():
                call = open_stream(raw, timeout=seconds, metadata=metadata)
                try:
                    yield from call
                finally:
                    call.cancel()  # type: ignore[no-untyped-call] # gRPC's stubs do not type it
        except grpc.RpcError as error:
            raise error_from_failure(failure_from_rpc_error(error)) from error
        except ValueError:  # gRPC raises it for a channel that another thread closed
            raise error_from_failure(failures.CLOSED) from None

    def close(self) -> None:
        """Close the connection. Calls in progress fail, and so does each later call.

        Requests in progress on a stream have DRAIN_SECONDS to be answered.
        """
        self._closed = True
        channel, stream = self._channels.get(fork.generation()), self._streams.get(fork.generation())
        if fork.is_unusable():
            return
        if stream is not None:
            stream.close(DRAIN_SECONDS)
        if channel is not None:
            channel.close()

    def _channel(self) -> grpc.Channel:
        """Return the channel of this process. Raises CallFailedError if there can be none."""
        if self._closed:
            raise error_from_failure(failures.CLOSED)
        if fork.is_unusable():
            raise error_from_failure(fork.FORKED)
        generation = fork.generation()
        channel = self._channels.get(generation)
        if channel is None:
            fork.record_channel(polling=False)
            opened = self._open()
            channel = self._channels.setdefault(generation, opened)  # another thread may have opened one
            if channel is not opened:
                opened.close()
        return channel

    def _stream(self) -> RequestStream:
        """Return the stream of this process. Raises CallFailedError if there can be none."""
        channel, generation = self._channel(), fork.generation()
        stream = self._streams.get(generation)
        if stream is None:
            stream = self._streams.setdefault(generation, RequestStream(channel, self._bearer))
            fork.end_before(stream)
            weakref.finalize(self, _end, stream, generation).atexit = False
        return stream

    def _open(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self._address, options=OPTIONS)
        return grpc.secure_channel(self._address, self._credentials, options=OPTIONS)


def _end(stream: RequestStream, generation: int) -> None:
    """End the stream of a connection that was dropped without `close`: otherwise its thread would keep it open."""
    if generation == fork.generation():
        stream.close(0)
