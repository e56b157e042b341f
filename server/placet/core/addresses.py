"""Addresses as people write them."""

from __future__ import annotations

import ipaddress
from typing import Final

PORT_MAX: Final = 65_535


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` -> host without brackets, port. ValueError when it is neither."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        ipaddress.IPv6Address(host)
    elif ":" in host:
        raise ValueError("must be host:port; write an IPv6 address in brackets")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ValueError(f"must be host:port with a port of 0 to {PORT_MAX}")
    return host, int(port)
