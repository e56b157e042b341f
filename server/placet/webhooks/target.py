"""Where deliveries go: a URL, taken apart and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Target:
    """A URL. `path` has the query with it; it may hold what only the receiver is to know, so it is not shown."""

    host: str
    port: int
    path: str
    encrypted: bool
    allow_private: bool

    @classmethod
    def parse(cls, url: str, *, allow_private: bool) -> Target:
        """Read ``https://host[:port]/path[?query]``; with `allow_private` also ``http://``.

        ValueError says what is wrong. Whether its address is permitted is known only when the connection is made.
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
            raise ValueError("must be https://; http only to a private address, with --webhook-allow-private")
        if "@" in parts.netloc:
            raise ValueError("must name no user or password; deliveries prove themselves by their signature")
        if parts.fragment:
            raise ValueError("must have no #fragment: it would not be sent")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(host, port or _PORTS[parts.scheme], path, parts.scheme == "https", allow_private)
