"""Parses and checks the URL that webhooks are sent to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a webhook URL."""

    host: str
    port: int
    path: str = field(repr=False)  # with the query; may hold a token of the receiver
    encrypted: bool
    allow_private: bool  # whether the host may resolve to private addresses

    @classmethod
    def parse(cls, url: str, *, allow_private: bool) -> Target:
        """Read ``https://host[:port]/path[?query]``; with `allow_private` also ``http://``.

        Raises ValueError. Addresses are not checked here: `attempt` checks them when it connects.
        """
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("must be plain ASCII; write other characters percent-encoded, and names in punycode")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise ValueError(f"must be https://host/path: {error}") from None
        if parts.scheme not in _PORTS or not host or port == 0:
            raise ValueError("must be https://host/path")
        if parts.scheme == "http" and not allow_private:
            raise ValueError("must be https://; http:// needs a private address and --webhook-allow-private-networks")
        if "@" in parts.netloc:
            raise ValueError("must name no user or password; receivers verify the signature instead")
        if parts.fragment:
            raise ValueError("must have no #fragment; it would not be sent")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(host, port or _PORTS[parts.scheme], path, parts.scheme == "https", allow_private)
