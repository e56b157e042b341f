"""Downloads releases: from a web server, with ETag and long polling as OPA's own bundle plugin does, or from a file.

Redirects are not followed, and the environment has no influence on the connection: no proxies, no .netrc, no cookies.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

import urllib3

from placet import __version__
from placet.kernel.errors import ConfigurationError
from placet.policy.bundles.pushes import PUSHED_BY, pusher_of
from placet.policy.bundles.release import RELEASE_BYTES_MAX
from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from urllib3.response import BaseHTTPResponse

CONNECT_SECONDS_MAX: Final = 5.0
READ_SECONDS_MAX: Final = 10.0
"""Time without a byte, beyond the time that a long poll may take."""
DOWNLOAD_SECONDS_MAX: Final = 60.0
LONG_POLL_TYPE: Final = "application/vnd.openpolicyagent.bundles"
"""Content type by which a server says that it waits for a change, as OPA's bundle plugin expects it."""
CHUNK_BYTES: Final = 65_536
_OK, _NOT_MODIFIED = 200, 304


class DownloadError(Exception):
    """No complete release was received. The text is one line, and completes a sentence about the address."""


@dataclass(frozen=True, slots=True)
class Download:
    """The answer to one request. `content` is None when it is still the one with the tag."""

    content: bytes | None
    tag: str
    waits: bool  # whether the server waits for a change, so that the next request may follow at once
    pusher: Pusher = UNKNOWN_PUSHER  # who published it, as the server says


class Releases(Protocol):
    """Where releases are published."""

    def get(self, tag: str, wait_seconds: float) -> Download:
        """Return the newest release, or that it still has the tag. "" matches none.

        Waits for a change for about `wait_seconds` where that is possible. Raises DownloadError, and
        ConfigurationError when a file that the settings name cannot be read. Blocks.
        """
        ...


def releases_at(url: str, token_file: Path | None = None, ca_file: Path | None = None) -> Releases:
    """Return the releases at an address that `check_policy_url` accepts.

    `token_file` has the bearer token, `ca_file` the CAs that sign the server's certificate; None: those of the system.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FileReleases(Path(unquote(parts.path)))
    return HttpReleases(url, token_file, TrustedPool(ca_file))


def bearer(token_file: Path | None) -> dict[str, str]:
    """Return the header with the token of a file; none without a file. Raises ConfigurationError."""
    return {} if token_file is None else {"Authorization": f"Bearer {read_token(token_file)}"}


def read_token(token_file: Path) -> str:
    """Return the bearer token in a file. Raises ConfigurationError."""
    try:
        token = token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "is not ASCII"
        raise ConfigurationError(f"{token_file}: cannot be read: {cause}; write the bearer token to it") from None
    if not token or not token.isprintable() or " " in token:
        raise ConfigurationError(f"{token_file}: must hold one bearer token in one line")
    return token


class TrustedPool:
    """Connections to servers whose certificate CAs of a file signed; None: those of the system. TLS 1.2 or newer."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._cas: bytes | None = None
        self._pool: urllib3.PoolManager | None = None

    def current(self) -> urllib3.PoolManager:
        """Return the connections. The file is read each time, and old connections are left when it was changed.

        Raises ConfigurationError when the file cannot be read.
        """
        cas = self._read()
        if self._pool is None or cas != self._cas:
            self._cas, self._pool = cas, urllib3.PoolManager(num_pools=1, retries=False, ssl_context=self._context(cas))
        return self._pool

    def _read(self) -> bytes | None:
        if self._ca_file is None:
            return None
        try:
            return self._ca_file.read_bytes()
        except OSError as error:
            cause = f"{self._ca_file}: cannot be read: {error.strerror}"
            raise ConfigurationError(f"{cause}; name a file with CA certificates in PEM") from None

    def _context(self, cas: bytes | None) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cadata=None if cas is None else cas.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError, ValueError):
            raise ConfigurationError(f"{self._ca_file}: has no CA certificate in PEM; write one to it") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


class HttpReleases:
    """Releases of a web server."""

    def __init__(self, url: str, token_file: Path | None, pool: TrustedPool) -> None:
        self._url = url
        self._token_file = token_file
        self._pool = pool

    def get(self, tag: str, wait_seconds: float) -> Download:
        """Return the newest release, or that it is still the one with the tag, see `Releases`."""
        headers = {"User-Agent": f"placet/{__version__}", "Accept-Encoding": "identity", **bearer(self._token_file)}
        if tag:
            headers["If-None-Match"] = tag
        if wait_seconds >= 1:
            headers["Prefer"] = f"modes=snapshot;wait={int(wait_seconds)}"
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS_MAX, read=wait_seconds + READ_SECONDS_MAX)
        deadline = time.monotonic() + wait_seconds + DOWNLOAD_SECONDS_MAX
        try:
            response = self._pool.current().request(
                "GET", self._url, headers=headers, timeout=timeout, redirect=False, preload_content=False
            )
            try:
                return _download(response, tag, deadline)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DownloadError(f"cannot be read: {_cause(error)}") from error


class FileReleases:
    """A release in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, tag: str, wait_seconds: float) -> Download:
        """Return the content of the file, or that the file is still the one with the tag. Never waits."""
        del wait_seconds
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                new_tag = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
                if new_tag == tag:
                    return Download(None, tag, waits=False)
                content = file.read(RELEASE_BYTES_MAX + 1)
                _require_bounded(len(content), RELEASE_BYTES_MAX)
                return Download(content, new_tag, waits=False)
        except OSError as error:
            raise DownloadError(f"cannot be read: {error.strerror}") from error


def _download(response: BaseHTTPResponse, tag: str, deadline: float) -> Download:
    waits = response.headers.get("Content-Type", "").partition(";")[0].strip() == LONG_POLL_TYPE
    if response.status == _NOT_MODIFIED and tag:
        return Download(None, tag, waits)
    if response.status != _OK:
        raise DownloadError(f"cannot be read: the server answered with status {response.status}")
    content = body_of(response.stream(CHUNK_BYTES, decode_content=False), RELEASE_BYTES_MAX, deadline)
    return Download(content, response.headers.get("ETag", ""), waits, pusher_of(response.headers.get(PUSHED_BY, "")))


def body_of(chunks: Iterable[bytes], bytes_max: int, deadline: float) -> bytes:
    """Return the chunks of an answer as one.

    Raises DownloadError when they are too large, or not complete at the deadline, in monotonic seconds.
    """
    content = bytearray()
    for chunk in chunks:
        content += chunk
        _require_bounded(len(content), bytes_max)
        if time.monotonic() > deadline:
            raise DownloadError(f"cannot be read: it was not complete within {DOWNLOAD_SECONDS_MAX:g} s")
    return bytes(content)


def _require_bounded(content_bytes: int, bytes_max: int) -> None:
    if content_bytes > bytes_max:
        raise DownloadError(f"is larger than {bytes_max} bytes")


def _cause(error: BaseException) -> str:
    """Return the innermost cause: urllib3 wraps those of the operating system."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return _cause(inner)
    return f"{type(error).__name__}: {error}"
