"""The HTTP server of the metrics, with TLS whose certificates may change while it runs."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server

from prometheus_client.exposition import ThreadingWSGIServer, _SilentHandler, make_wsgi_app

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import CollectorRegistry

HANDSHAKE_SECONDS = 10.0
"""Longest silence of a client, also within the handshake."""


def serve_metrics(
    host: str, port: int, registry: CollectorRegistry, tls: Callable[[], ssl.SSLContext] | None = None
) -> WSGIServer:
    """Serve ``/metrics`` in a thread. OSError if the address is not available.

    `tls` returns the context for the next connection: a context that is in use forgets no CA. The handshake runs in the
    thread of the connection, so that a slow client holds up no other.
    """

    class Server(ThreadingWSGIServer):
        address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            connection.settimeout(HANDSHAKE_SECONDS)
            if tls is not None:
                connection = tls().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return connection, address

        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class
            """Say nothing of clients that fail the handshake or leave."""

    server = make_server(host, port, make_wsgi_app(registry), Server, handler_class=_SilentHandler)
    threading.Thread(target=server.serve_forever, name="placet-metrics", daemon=True).start()
    return server
