"""One attempt to deliver a webhook: one connection, one POST, one response.

The host name is resolved once. Each resolved address is checked (see `addresses`), and the connection goes to exactly
the address that was checked, so a name that resolves differently a moment later (DNS rebinding) gains nothing. The
environment has no influence: no proxies, no .netrc, no cookies. Redirects are not followed; they count as failures
like any other status outside 2xx. The body of the response is not read.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet import __version__
from placet.webhooks.addresses import why_refused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from placet.webhooks.target import Target

_SUCCESSES: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
SocketAddress = tuple[socket.AddressFamily, tuple[str | bytes | int, ...]]
"""The family for `socket.socket` and the address for its `connect`. The address begins with the IP address."""


@dataclass(frozen=True, slots=True)
class Response:
    """The head of the receiver's response, or the error that prevented one."""

    status: int = 0  # 0 without a response
    retry_after: str = ""  # the header Retry-After, "" without it
    error: str = ""  # why the attempt failed, "" after a success

    @property
    def accepted(self) -> bool:
        """Return whether the receiver accepted the delivery (2xx)."""
        return self.status in _SUCCESSES


class AddressRefusedError(OSError):
    """The host name resolves to no permitted address."""


def resolve(host: str, port: int) -> Sequence[SocketAddress]:
    """Return the addresses of a host, from the resolver of the machine. Raises OSError when there are none."""
    results = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in results]


class Attempt:
    """One POST of `body`. Call `send` in a thread, because it blocks; any thread may call `abort` at any time."""

    def __init__(
        self,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        context: ssl.SSLContext,
        timeout_seconds: float,
        resolve: Callable[[str, int], Sequence[SocketAddress]] = resolve,
    ) -> None:
        self._target = target
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"placet/{__version__}",
            "Connection": "close",
            **headers,
        }
        self._body = body
        self._context = context
        self._deadline = time.monotonic() + timeout_seconds
        self._resolve = resolve
        self._lock = threading.Lock()
        self._aborted = False
        self._abort_handle: socket.socket | None = None

    def send(self) -> Response:
        """Send the request and read the head of the response. Failures are returned as `Response.error`."""
        connection = _Connection(self._target, self._connect)
        try:
            connection.request("POST", self._target.path, self._body, self._headers)
            response = connection.getresponse()
            error = "" if response.status in _SUCCESSES else _status_error(response.status)
            return Response(response.status, response.headers.get("Retry-After", ""), error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Response(error=f"{type(error).__name__}: {error}")
        finally:
            connection.close()
            with self._lock:
                handle, self._abort_handle = self._abort_handle, None
            if handle is not None:
                handle.close()

    def abort(self) -> None:
        """End the attempt now. A `send` in progress fails."""
        with self._lock:
            self._aborted = True
            if self._abort_handle is not None:
                with suppress(OSError):
                    self._abort_handle.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> socket.socket:
        """Return a connection to a permitted address, with TLS when the target is encrypted. Raises OSError."""
        connection = self._open_socket()
        try:
            self._keep_abort_handle(connection)
            connection.settimeout(self._remaining_seconds())
            if self._target.encrypted:
                return self._context.wrap_socket(connection, server_hostname=self._target.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep_abort_handle(self, connection: socket.socket) -> None:
        """Keep a second handle for `abort`. It stays valid while the first one is wrapped in TLS."""
        with self._lock:
            if self._aborted:
                raise TimeoutError("aborted")
            self._abort_handle = connection.dup()

    def _open_socket(self) -> socket.socket:
        """Connect to the first permitted address that accepts. Raises OSError, or AddressRefusedError without any."""
        target = self._target
        refused, last_error = "", None
        for family, address in self._resolve(target.host, target.port):
            why = why_refused(str(address[0]), allow_private=target.allow_private, encrypted=target.encrypted)
            if why:
                refused = refused or why
                continue
            candidate = socket.socket(family, socket.SOCK_STREAM)
            try:
                candidate.settimeout(self._remaining_seconds())
                candidate.connect(address)
            except OSError as error:
                candidate.close()
                last_error = error
            else:
                return candidate
        raise last_error or AddressRefusedError(refused or f"{target.host} has no address")

    def _remaining_seconds(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a socket that `connect` returns."""

    def __init__(self, target: Target, connect: Callable[[], socket.socket]) -> None:
        super().__init__(target.host, target.port)
        self.default_port = http.client.HTTPS_PORT if target.encrypted else http.client.HTTP_PORT
        self._connect = connect

    def connect(self) -> None:
        self.sock = self._connect()


def _status_error(status: int) -> str:
    return f"status {status}" + ("; redirects are not followed" if status in _REDIRECTS else "")
