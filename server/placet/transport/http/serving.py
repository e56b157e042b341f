"""Runs an ASGI application on one address, with uvicorn: alone in a process, or in the event loop of a server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import split_address

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from starlette.applications import Starlette

STOP_SECONDS_MAX: Final = 5
"""How long running requests may take after a signal to stop."""
CONNECTIONS_MAX: Final = 1_024
CONNECTION_SECONDS_MAX: Final = 30.0
"""Longest life of a connection to a server that others share a process with. Clients connect again."""
_BACKLOG: Final = 128


def serve_http(app: Starlette, listen: str, tls: tuple[Path, Path] | None, on_listening: Callable[[str], None]) -> None:
    """Serve the application until a signal ends the process.

    `tls` are the files of the certificate and its key. `on_listening` receives the address, with the port that was
    chosen for port 0. Raises ConfigurationError when the address or a file cannot be used.
    """
    certificate, key = tls or (None, None)
    config = _config(app, lifespan="on")
    config.ssl_certfile, config.ssl_keyfile = certificate, key
    try:
        config.load()
    except OSError as error:
        raise ConfigurationError(f"{certificate}, {key}: cannot be used: {error.strerror}; name PEM files") from error
    with _bound(listen) as listener:
        on_listening(_url(listener, secure=tls is not None))
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise ConfigurationError(f"{listen}: the server could not start; see the log")


@contextlib.asynccontextmanager
async def http_server(app: Starlette, listen: str, context: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Serve the application in this event loop for the duration of the block. Yields the address as a URL.

    `context` is for TLS; its certificate may change. Raises ConfigurationError when the address cannot be
    used.
    """
    config = _config(
        app, lifespan="off", http=_BoundedProtocol, log_level="critical"
    )  # strangers' mistakes are no log lines
    config.load()
    config.ssl = context
    server = _EmbeddedServer(config)
    with _bound(listen) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield _url(listener, secure=context is not None)
        finally:
            server.should_exit = True
            await asyncio.wait({serving})


class _EmbeddedServer(uvicorn.Server):
    """A server beside others in a process, which handles the signals itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


class _BoundedProtocol(H11Protocol):
    """A connection with an end, so that strangers who say nothing hold no file descriptors of the process."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class
        """Take the connection for CONNECTION_SECONDS_MAX, or refuse it beyond CONNECTIONS_MAX."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        self._ends = self.loop.call_later(CONNECTION_SECONDS_MAX, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._ends.cancel()
        super().connection_lost(exc)

    def _end(self) -> None:
        """Close the connection, after the answer that is on its way."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is None or cycle.response_complete:
            self.transport.close()
        else:
            cycle.keep_alive = False


def _config(app: Starlette, **more: Any) -> uvicorn.Config:  # noqa: ANN401 - as uvicorn takes them
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
        **more,
    )


def _url(listener: socket.socket, *, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"{listen}: cannot be used: {error.strerror}; choose another address") from error
