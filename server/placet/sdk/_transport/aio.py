"""A connection for asyncio."""

from __future__ import annotations

import asyncio
import time
import weakref
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import grpc

from placet.sdk import failures
from placet.sdk._transport import fork
from placet.sdk._transport.aio_stream import AsyncRequestStream
from placet.sdk._transport.bearer import Bearer, is_refused_credential
from placet.sdk._transport.options import OPTIONS, validate_address
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk._transport.stream_messages import DRAIN_SECONDS, REFUSED, REQUEST_BYTES_MAX, SECONDS_MIN
from placet.sdk._transport.tls import environment_credentials
from placet.sdk.errors import CallFailedError, error_from_failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from placet.sdk._transport.options import Metadata
    from placet.sdk.failures import Failure
    from placet.v1 import decision_pb2


class AsyncConnection:
    """A connection to one server, opened by the first call. Each event loop that uses it gets a separate channel.

    Raises ValueError if the address is neither host:port nor unix:/path.
    """

    def __init__(
        self, address: str, credentials: grpc.ChannelCredentials | None = None, bearer: Bearer | None = None
    ) -> None:
        self._address = validate_address(address)
        self._credentials = credentials if credentials is not None else environment_credentials(address)
        self._bearer = bearer or Bearer(None, allow_plaintext=False)
        self._bearer.require_private(address, self._credentials)
        self._channels: WeakKeyDictionary[asyncio.AbstractEventLoop, grpc.aio.Channel] = WeakKeyDictionary()
        self._streams: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRequestStream] = WeakKeyDictionary()
        self._closed = False

    async def unary(self, method: str, raw: bytes, seconds: float, metadata: Metadata) -> bytes | Failure:
        """Send one request, and return the bytes of the response or why there is none."""
        try:
            send = self._channel().unary_unary(method, None, None)
            response: bytes = await send(raw, timeout=seconds, metadata=(*metadata, *self._bearer.metadata()))
        except CallFailedError as error:
            return error.failure
        except grpc.aio.AioRpcError as error:
            return failure_from_rpc_error(error)
        except grpc.aio.UsageError:  # gRPC raises it for a channel that was closed
            return failures.CLOSED
        return response

    async def streamed(
        self, method: str, raw: bytes, seconds: float, metadata: Metadata
    ) -> bytes | decision_pb2.Decision | Failure:
        """Send one request of Authorize over the stream, or as a unary call if it is large or there is no stream."""
        deadline = time.monotonic() + seconds
        try:
            stream = self._stream()
        except CallFailedError as error:
            return error.failure
        if len(raw) <= REQUEST_BYTES_MAX and not stream.is_paused:
            answer = await stream.send(raw, seconds, dict(metadata).get("traceparent", ""))
            if answer is not REFUSED and not is_refused_credential(answer):  # else with the current token
                return answer
        return await self.unary(method, raw, max(deadline - time.monotonic(), SECONDS_MIN), metadata)

    async def stream(self, method: str, raw: bytes, seconds: float | None) -> AsyncGenerator[bytes, None]:
        """Send one request, and yield the bytes of each response. Raises CallFailedError."""
        call = self._channel().unary_stream(method, None, None)(raw, timeout=seconds, metadata=self._bearer.metadata())
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise error_from_failure(failure_from_rpc_error(error)) from error
        except grpc.aio.UsageError:  # gRPC raises it for a channel that was closed
            raise error_from_failure(failures.CLOSED) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the connection. Calls in progress fail, and so does each later call.

        Requests in progress on a stream have DRAIN_SECONDS to be answered.
        """
        self._closed = True
        current = asyncio.get_running_loop()
        for loop, channel in list(self._channels.items()):
            closing = _close(channel, self._streams.get(loop))
            if loop is current:
                await closing
            elif not loop.is_closed():  # a channel can be closed only in its own loop; a closed loop has none
                asyncio.run_coroutine_threadsafe(closing, loop)
            else:
                closing.close()

    def _channel(self) -> grpc.aio.Channel:
        """Return the channel of the running loop. Raises CallFailedError if there can be none."""
        if self._closed:
            raise error_from_failure(failures.CLOSED)
        if fork.is_unusable():
            raise error_from_failure(fork.FORKED)
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            fork.record_channel(polling=True)
            self._channels[loop] = self._open()
        return self._channels[loop]

    def _stream(self) -> AsyncRequestStream:
        """Return the stream of the running loop. Raises CallFailedError if there can be none."""
        channel, loop = self._channel(), asyncio.get_running_loop()
        if loop not in self._streams:
            self._streams[loop] = stream = AsyncRequestStream(channel, self._bearer)
            weakref.finalize(self, _end, stream, loop).atexit = False
        return self._streams[loop]

    def _open(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, options=OPTIONS)
        return grpc.aio.secure_channel(self._address, self._credentials, options=OPTIONS)


def _end(stream: AsyncRequestStream, loop: asyncio.AbstractEventLoop) -> None:
    """End the stream of a connection that was dropped without `close`: otherwise its task would keep it open."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(stream.cancel)


async def _close(channel: grpc.aio.Channel, stream: AsyncRequestStream | None) -> None:
    if stream is not None:
        await stream.close(DRAIN_SECONDS)
    await channel.close(None)
