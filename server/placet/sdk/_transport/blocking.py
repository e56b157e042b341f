"""A connection for code that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from placet.sdk import failures
from placet.sdk._transport import fork
from placet.sdk._transport.options import OPTIONS, validate_address
from placet.sdk._transport.status import failure_from_rpc_error
from placet.sdk.errors import CallFailedError, error_from_failure

if TYPE_CHECKING:
    from collections.abc import Generator

    from placet.sdk._transport.options import Metadata
    from placet.sdk.failures import Failure


class Connection:
    """A connection to one server, opened by the first call. Safe to use from several threads.

    A forked process opens a separate channel. Raises ValueError if the address is not host:port.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._address = validate_address(address)
        self._credentials = credentials
        self._channels: dict[int, grpc.Channel] = {}
        self._closed = False

    def unary(self, method: str, raw: bytes, seconds: float, metadata: Metadata) -> bytes | Failure:
        """Send one request, and return the bytes of the response or why there is none."""
        try:
            send = self._channel().unary_unary(method, None, None)
            with fork.call_in_progress():
                response: bytes = send(raw, timeout=seconds, metadata=metadata)
        except CallFailedError as error:
            return error.failure
        except grpc.RpcError as error:
            return failure_from_rpc_error(error)
        except ValueError:  # gRPC raises it for a channel that another thread closed
            return failures.CLOSED
        return response

    def stream(self, method: str, raw: bytes, seconds: float | None) -> Generator[bytes, None, None]:
        """Send one request, and yield the bytes of each response. Raises CallFailedError."""
        open_stream = self._channel().unary_stream(method, None, None)
        try:
            with fork.call_in_progress():
                call = open_stream(raw, timeout=seconds)
                try:
                    yield from call
                finally:
                    call.cancel()  # type: ignore[no-untyped-call] # gRPC's stubs do not type it
        except grpc.RpcError as error:
            raise error_from_failure(failure_from_rpc_error(error)) from error
        except ValueError:  # gRPC raises it for a channel that another thread closed
            raise error_from_failure(failures.CLOSED) from None

    def close(self) -> None:
        """Close the connection. Calls in progress fail, and so does each later call."""
        self._closed = True
        channel = self._channels.get(fork.generation())
        if channel is not None and not fork.is_unusable():
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

    def _open(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self._address, options=OPTIONS)
        return grpc.secure_channel(self._address, self._credentials, options=OPTIONS)
