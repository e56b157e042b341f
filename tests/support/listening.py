"""Whether a program listens at an address."""

from __future__ import annotations

import socket

from placet.matching.addresses import split_address


def accepts(address: str) -> bool:
    """Return whether a connection to host:port is accepted."""
    try:
        with socket.create_connection(split_address(address), timeout=1):
            return True
    except OSError:
        return False
