"""Parses network addresses in settings."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

PORT_MAX: Final = 65_535


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[v6]:port`` into the host without brackets and the port.

    Raises ValueError for other forms.
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        ipaddress.IPv6Address(host)
    elif ":" in host:
        raise ValueError("must be host:port; write an IPv6 address in brackets")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ValueError(f"must be host:port with a port of 0 to {PORT_MAX}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches the host.

    Names other than ``localhost`` count as reachable by others.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_opa_address(value: str) -> None:
    """Raise ValueError unless the value is ``http://host:port`` or ``unix:///path``."""
    parts = urlsplit(value)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return
    if parts.scheme != "http" or not parts.netloc or "@" in parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError("must be http://host:port or unix:///path")
    split_address(parts.netloc)
