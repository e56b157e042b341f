"""What gRPC says of a connection that it does not get, in one short sentence."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_PEER: Final = re.compile(r"\b(?:ipv4|ipv6|unix|unix-abstract|vsock):(\S+): ")
"""The address, such as ``ipv6:%5B::1%5D:7070``, before what happened to it."""
_UNRESOLVED: Final = re.compile(
    r"(?:errors resolving|[Aa]ddress lookup failed for|DNS resolution failed for) ([^\s:]+)"
)
_TROUBLES: Final = (
    ("Connection refused", "the connection to {} was refused"),
    ("http1.x", "what listens at {} does not speak gRPC"),
    ("Expected SETTINGS frame", "what listens at {} does not speak gRPC"),
    ("No such file or directory", "there is no socket {}"),
    ("Permission denied", "the connection to {} is not permitted"),
    ("Network is unreachable", "there is no way to {}"),
    ("No route to host", "there is no way to {}"),
    ("keepalive", "the connection to {} was lost: no answer for some seconds"),
    ("ping timeout", "the connection to {} was lost: no answer for some seconds"),
    ("Connection reset", "the connection to {} was closed"),
    ("Broken pipe", "the connection to {} was closed"),
    ("Socket closed", "the connection to {} was closed"),
    ("imed out", "the connection to {} timed out"),
    ("Timeout occurred", "the connection to {} timed out"),
    ("handshake", "no TLS connection to {} came about: look at the certificates"),
)
"""What gRPC's text holds, and what it means."""


def connection_trouble(text: str) -> str:
    """The sentence; the text itself when it is none that is known."""
    unresolved = _UNRESOLVED.search(text)
    if unresolved is not None:
        return f"no host of the name {unresolved[1]} was found"
    peer = _PEER.search(text)
    if peer is None:
        return text
    for mark, said in _TROUBLES:
        if mark in text:
            return said.format(unquote(peer[1]))
    return text
