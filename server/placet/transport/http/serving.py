"""Runs an ASGI application on one address, with uvicorn."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import uvicorn

from placet.kernel.errors import ConfigurationError
from placet.matching.addresses import split_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.applications import Starlette

STOP_SECONDS_MAX: Final = 5
"""How long running requests may take after a signal to stop."""
CONNECTIONS_MAX: Final = 1_024
_BACKLOG: Final = 128


def serve_http(app: Starlette, listen: str, tls: tuple[Path, Path] | None, on_listening: Callable[[str], None]) -> None:
    """Serve the application until a signal ends the process.

    `tls` are the files of the certificate and its key. `on_listening` receives the address, with the port that was
    chosen for port 0. Raises ConfigurationError when the address or a file cannot be used.
    """
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigurationError(f"{certificate}, {key}: cannot be used: {error.strerror}; name PEM files") from error
    with _bound(listen) as listener:
        host, port = listener.getsockname()[:2]
        on_listening(f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}")
        uvicorn.Server(config).run(sockets=[listener])


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"{listen}: cannot be used: {error.strerror}; choose another address") from error
