"""An HTTP/1.1 connection to OPA, over a unix socket or TCP, on the running event loop.

httptools (uvicorn's parser) parses the responses; requests have one fixed head. A round trip costs about 90 us; general
clients cost 200 to 900 us.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import httptools

from placet.kernel.limits import OPA_ANSWER_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable


_FINAL_STATUS_MIN: Final = 200


class ConnectionFailedError(Exception):
    """The connection was lost, or the response is not HTTP."""


class AnswerTooLargeError(Exception):
    """The response has more than OPA_ANSWER_BYTES_MAX bytes. The rest is not read."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of OPA: the path of a unix socket, or a host and a port."""

    socket: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parse ``unix:///path`` or ``http://host:port``. Raises ValueError that says what is wrong."""
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path:
            return cls(socket=parts.path)
        if parts.scheme == "http" and parts.hostname and parts.path in {"", "/"}:
            return cls(host=parts.hostname, port=parts.port or 8181)
        raise ValueError(f"{url!r} is neither unix:///path nor http://host:port")


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time. After a failure or a cancelled request it is closed for good."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._size = 0

    @classmethod
    async def open(cls, address: Address) -> Connection:
        """Connect to OPA. Raises OSError when nothing listens there."""
        loop = asyncio.get_running_loop()
        if address.socket:
            _, connection = await loop.create_unix_connection(cls, address.socket)
        else:
            _, connection = await loop.create_connection(cls, address.host, address.port)
        return connection

    @property
    def usable(self) -> bool:
        """Whether a request can be sent now."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request and return the status and body of the response.

        Raises ConnectionFailedError when no complete response arrives, and AnswerTooLargeError when it is too large.
        """
        if not self.usable or self._transport is None:
            raise ConnectionFailedError("the connection is closed or in use")
        self._answer = asyncio.get_running_loop().create_future()
        head = f"{method} {path} HTTP/1.1\r\nHost: opa\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(b"%b\r\n\r\n%b" % (head.encode(), body))
        try:
            return await self._answer
        except BaseException:
            self.close()  # a late response must not be taken for the response to the next request
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """Close the connection immediately."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionFailedError(f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._fail(ConnectionFailedError(f"connection lost: {exc or 'closed by OPA'}"))

    def on_message_begin(self) -> None:
        """Called by httptools."""
        if self._answer is None or self._answer.done():
            self.close()  # unsolicited: it must not be taken for the response to the next request

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self._size += len(body)
        if self._size > OPA_ANSWER_BYTES_MAX:
            self._fail(AnswerTooLargeError(f"answer larger than {OPA_ANSWER_BYTES_MAX} bytes"))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        body, self._body, self._size = b"".join(self._body), [], 0
        status = self._parser.get_status_code()
        if status < _FINAL_STATUS_MIN:  # the final response would follow, and be taken for the next one
            self._fail(ConnectionFailedError(f"interim status {status}"))
        else:
            self._settle(lambda answer: answer.set_result((status, body)))

    def _fail(self, error: Exception) -> None:
        self.close()
        self._settle(lambda answer: answer.set_exception(error))

    def _settle(self, settle: Callable[[asyncio.Future[tuple[int, bytes]]], None]) -> None:
        if self._answer is not None and not self._answer.done():
            settle(self._answer)
