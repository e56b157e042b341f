"""A TCP proxy that cuts connections at a chosen moment."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_BYTES = 65_536
QUIET_SECONDS = 1.0


class Proxy:
    """Forwards connections to a port of loopback."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.refusing = False
        self.cuts = 0
        self.client_bytes = 0
        self._silent: set[socket.socket] = set()
        self._cut_at = b""
        self._after = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def cut_at(self, data: bytes, *, after: bool) -> None:
        """Cut the first connection that sends `data`: before the server receives it, or `after`, losing the answer."""
        self._after = after
        self._cut_at = data

    def cut(self) -> None:
        """Cut all connections now."""
        for pair in self._pairs:
            _end(*pair)

    def silence(self) -> None:
        """Stop forwarding on all connections, but keep them open, as a NAT does that has forgotten them."""
        self._silent.update(end for pair in self._pairs for end in pair)

    def wait_until_quiet(self) -> None:
        """Wait until clients have sent nothing for QUIET_SECONDS."""
        before = -1
        while before != self.client_bytes:
            before = self.client_bytes
            time.sleep(QUIET_SECONDS)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for pair in self._pairs:
            for end in pair:
                end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            self._start(self._forward_requests, client, server)
            self._start(self._forward_answers, client, server)

    def _start(self, work: Callable[[socket.socket, socket.socket], None], *pair: socket.socket) -> None:
        thread = threading.Thread(target=work, args=pair, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        for data in _chunks(client):
            if client in self._silent:
                continue
            self.client_bytes += len(data)
            if self._cut_at and self._cut_at in data:
                self._cut_at = b""
                self.cuts += 1
                if self._after:
                    client.shutdown(socket.SHUT_RDWR)  # loses the answer
                    _send(server, data)
                    server.shutdown(socket.SHUT_WR)
                    return
                break
            if not _send(server, data):
                break
        _end(client, server)

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        for data in _chunks(server):
            if server not in self._silent:
                _send(client, data)
        _end(client, server)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            yield data


def _send(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _end(*sockets: socket.socket) -> None:
    for connection in sockets:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy for the duration of the block."""
    server = Proxy(port)
    try:
        yield server
    finally:
        server.close()
