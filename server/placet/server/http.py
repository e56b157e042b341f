"""Builds the HTTP server of a process and starts it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from placet.permits.claims import published_keys

if TYPE_CHECKING:
    import contextlib

    from placet.server.core import Core


async def serve_http(stack: contextlib.AsyncExitStack, core: Core) -> str:
    """Serve HTTP until the stack closes, when an address is set. Returns the address as a URL; empty for none.

    Raises ConfigurationError when the address cannot be used.
    """
    if not core.settings.http_listen:
        return ""
    from placet.transport.http.public import public_app  # noqa: PLC0415 - takes 0.2 s, which most servers do not need
    from placet.transport.http.serving import http_server  # noqa: PLC0415 - likewise

    app = public_app(partial(published_keys, core.permit_keys.keys), core.observer.error)
    context = core.tls.open_context() if core.tls is not None else None
    address = await stack.enter_async_context(http_server(app, core.settings.http_listen, context))
    core.observer.log.info("serving http", address=address)
    return address
