"""One GET to a provider: one connection, bounded in time and size.

Redirects are not followed: the address in the settings is the one that is trusted. The environment has no influence on
the connection: no proxies, no .netrc, no cookies.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import httptools

from placet import __version__
from placet.authentication.urls import url_error
from placet.kernel.limits import PROVIDER_ANSWER_BYTES_MAX, PROVIDER_SECONDS_MAX

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_HEAD_BYTES_MAX: Final = 65_536
_CHUNK_BYTES: Final = 65_536
_PORTS: Final = {"https": 443, "http": 80}


class FetchError(Exception):
    """The provider gave no answer, or not the expected one. The text is one line for the log."""


class Fetch(Protocol):
    """Gets the body of an address."""

    async def __call__(self, url: str) -> bytes:
        """Return the body. Raises FetchError."""


class ProviderClient:
    """Gets documents of one provider. `ca_file` has the CAs that sign its certificate; None: those of the system."""

    def __init__(self, ca_file: Path | None = None, seconds_max: float = PROVIDER_SECONDS_MAX) -> None:
        self._ca_file = ca_file
        self._seconds_max = seconds_max
        self._context: ssl.SSLContext | None = None

    async def __call__(self, url: str) -> bytes:
        """Return the body of a response with status 200. Raises FetchError."""
        if error := url_error(url):
            raise FetchError(f"{url}: {error}")
        try:
            async with asyncio.timeout(self._seconds_max):
                return await self._get(urlsplit(url))
        except TimeoutError:
            raise FetchError(f"{url}: no answer within {self._seconds_max:g} s") from None
        except FetchError as error:
            raise FetchError(f"{url}: {error}") from None
        except (OSError, httptools.HttpParserError) as error:
            raise FetchError(f"{url}: {type(error).__name__}: {error}") from error

    async def _get(self, parts: SplitResult) -> bytes:
        encrypted = parts.scheme == "https"
        if encrypted and self._context is None:
            self._context = await asyncio.to_thread(_tls, self._ca_file)
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or _PORTS[parts.scheme], ssl=self._context if encrypted else None
        )
        try:
            writer.write(_request(parts))
            return await _body(reader)
        finally:
            writer.transport.abort()


class _Response:
    """Collects a response. httptools calls its methods."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.headers: dict[bytes, bytes] = {}
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body
        if len(self.body) > PROVIDER_ANSWER_BYTES_MAX:
            raise FetchError(f"the answer is longer than {PROVIDER_ANSWER_BYTES_MAX} bytes")

    def on_message_complete(self) -> None:
        self.complete = True


async def _body(reader: asyncio.StreamReader) -> bytes:
    response = _Response()
    parser = httptools.HttpResponseParser(response)
    received = 0
    while not response.complete and (data := await reader.read(_CHUNK_BYTES)):
        received += len(data)
        if received > PROVIDER_ANSWER_BYTES_MAX + _HEAD_BYTES_MAX:
            raise FetchError(f"the answer is longer than {PROVIDER_ANSWER_BYTES_MAX} bytes")
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
    if not response.complete and (response.headers.keys() & {b"content-length", b"transfer-encoding"} or not received):
        raise FetchError("the connection was closed before the answer was complete")
    _require_ok(parser.get_status_code(), response.headers.get(b"location", b""))
    return bytes(response.body)


def _require_ok(status: int, location: bytes) -> None:
    if status in _REDIRECTS:
        raise FetchError(f"redirects to {location[:200]!r}, which is not followed; write the final address")
    if status != _OK:
        raise FetchError(f"answered with status {status}")


def _request(parts: SplitResult) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = (
        f"GET {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Accept: application/json",
        f"User-Agent: placet/{__version__}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise FetchError(f"ca_file: {ca_file}: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
