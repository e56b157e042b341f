"""The port that workers share.

The supervisor binds it for as long as it runs and accepts nothing there. So a free port is chosen once for all workers,
and no other server can take it, not even while a worker restarts. gRPC listens on host and port only; a unix socket
could not be shared in this way.
"""

from __future__ import annotations

import contextlib
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
    with socket.socket(family, socket.SOCK_STREAM) as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reserved.bind(address)
        except OSError as error:  # taken since `require_free`
            raise ConfigurationError(
                f"cannot listen on {listen}: {error.strerror}; choose another with --listen"
            ) from error
        yield f"{host}:{reserved.getsockname()[1]}"
