"""The port that workers share.

The supervisor binds it for as long as it runs and accepts nothing there. So a free port is chosen once for all workers,
and no other server can take it, not even while a worker restarts. gRPC listens on host and port only; a unix socket
could not be shared in this way.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError
from placet.transport.grpc.server import require_free

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def reserved_port(listen: str) -> Iterator[str]:
    """Reserve the address ``host:port`` for the workers of this process, with port 0 a free port. Yields the address.

    Raises ConfigurationError when it is in use, or not an address of this machine.
    """
    require_free(listen)
    host, _, port = listen.rpartition(":")
    family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with contextlib.ExitStack() as stack:
        try:
            reserved = _bind(stack, family, address)
        except OSError as error:  # taken since `require_free`
            raise ConfigurationError(
                f"cannot listen on {listen}: {error.strerror}; choose another with --listen"
            ) from error
        yield f"{host}:{reserved.getsockname()[1]}"


def _bind(stack: contextlib.ExitStack, family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    """Return a socket bound to the address, which closes with the stack."""
    try:
        return _bound(stack, family, address, socket.SO_REUSEPORT)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    # The address is free, but connections of a server that did not share it linger (TIME_WAIT), such as one without
    # workers that was just stopped. SO_REUSEADDR ignores them. It is not set at first, because until the workers listen
    # another program could then take the address with it.
    return _bound(stack, family, address, socket.SO_REUSEPORT, socket.SO_REUSEADDR)


def _bound(
    stack: contextlib.ExitStack, family: socket.AddressFamily, address: tuple[object, ...], *options: int
) -> socket.socket:
    bound = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    for option in options:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
    bound.bind(address)
    return bound
