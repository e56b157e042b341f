"""One try of a delivery: one connection, one POST, the head of one answer.

The name is looked up once, each address is checked, and the connection is made to that address: a name that leads
elsewhere a moment later changes nothing. Nothing of the environment counts: no proxies, no .netrc, no cookies. A
redirection is an answer like any other that is not 2xx.
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
from placet.webhooks.addresses import refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from placet.webhooks.target import Target

_TAKEN: Final = range(200, 300)
_REDIRECTIONS: Final = range(300, 400)
Place = tuple[socket.AddressFamily, tuple[str | bytes | int, ...]]
"""Where to connect to: what `socket.socket` takes, and its `connect`, which begins with the IP address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a try: the receiver's status, or why there is none. `retry_after` is that header, "" without."""

    status: int = 0
    retry_after: str = ""
    error: str = ""

    @property
    def taken(self) -> bool:
        """Whether the receiver has it now."""
        return self.status in _TAKEN


class AddressRefusedError(OSError):
    """The name leads to no address that is permitted."""


def resolve(host: str, port: int) -> Sequence[Place]:
    """The addresses of a name, as the machine's resolver gives them. OSError when there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Attempt:
    """One POST of `body`. `send` belongs to a thread of its own; `abort` may be called from any, at any time."""

    def __init__(
        self,
        target: Target,
        headers: Mapping[str, str],
        body: bytes,
        context: ssl.SSLContext,
        timeout_seconds: float,
        resolve: Callable[[str, int], Sequence[Place]] = resolve,
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
        self._until = time.monotonic() + timeout_seconds
        self._resolve = resolve
        self._guard = threading.Lock()
        self._aborted = False
        self._cord: socket.socket | None = None

    def send(self) -> Answer:
        """Send it and read the answer's head. What goes wrong on the way is an Answer with `error`."""
        connection = _Connection(self._target, self._connected)
        try:
            connection.request("POST", self._target.path, self._body, self._headers)
            response = connection.getresponse()
            error = "" if response.status in _TAKEN else _told(response.status)
            return Answer(response.status, response.headers.get("Retry-After", ""), error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Answer(error=f"{type(error).__name__}: {error}")
        finally:
            connection.close()
            with self._guard:
                cord, self._cord = self._cord, None
            if cord is not None:
                cord.close()

    def abort(self) -> None:
        """End it now: what waits for the receiver fails."""
        with self._guard:
            self._aborted = True
            if self._cord is not None:
                with suppress(OSError):
                    self._cord.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> socket.socket:
        """A connection to a permitted address, encrypted when it is to be. OSError."""
        connected = self._dialled()
        try:
            self._hold(connected)
            connected.settimeout(self._left())
            if self._target.encrypted:
                return self._context.wrap_socket(connected, server_hostname=self._target.host)
        except BaseException:
            connected.close()
            raise
        return connected

    def _hold(self, connected: socket.socket) -> None:
        """Have what `abort` needs: a second handle, good also while the first is being encrypted."""
        with self._guard:
            if self._aborted:
                raise TimeoutError("aborted")
            self._cord = connected.dup()

    def _dialled(self) -> socket.socket:
        """A connection to the first permitted address that takes one."""
        target = self._target
        refused, failed = "", None
        for family, address in self._resolve(target.host, target.port):
            why = refusal(str(address[0]), allow_private=target.allow_private, encrypted=target.encrypted)
            if why:
                refused = refused or why
                continue
            dialled = socket.socket(family, socket.SOCK_STREAM)
            try:
                dialled.settimeout(self._left())
                dialled.connect(address)
            except OSError as error:
                dialled.close()
                failed = error
            else:
                return dialled
        raise failed or AddressRefusedError(refused or f"{target.host} has no address")

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class _Connection(http.client.HTTPConnection):
    """Speaks over a connection that somebody else made."""

    def __init__(self, target: Target, connected: Callable[[], socket.socket]) -> None:
        super().__init__(target.host, target.port)
        self.default_port = http.client.HTTPS_PORT if target.encrypted else http.client.HTTP_PORT
        self._connected = connected

    def connect(self) -> None:
        self.sock = self._connected()


def _told(status: int) -> str:
    return f"status {status}" + ("; redirections are not followed" if status in _REDIRECTIONS else "")
