"""Turns gRPC's text about a failed connection into one short sentence."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_PEER: Final = re.compile(r"\b(?:ipv4|ipv6|unix|unix-abstract|vsock):(\S+): ")
"""The address, such as ``ipv6:%5B::1%5D:7070``, in front of the error."""
_UNRESOLVED: Final = re.compile(
    r"(?:errors resolving|[Aa]ddress lookup failed for|DNS resolution failed for) ([^\s:]+)"
)
_SENTENCES: Final = (
    ("Connection refused", "the connection to {} was refused"),
    ("http1.x", "the server at {} does not speak gRPC"),
    ("Expected SETTINGS frame", "the server at {} does not speak gRPC"),
    ("No such file or directory", "the socket {} does not exist"),
    ("Permission denied", "the connection to {} is not permitted"),
    ("Network is unreachable", "no network route leads to {}"),
    ("No route to host", "no network route leads to {}"),
    ("keepalive", "the connection to {} was lost: keepalive pings were not answered"),
    ("ping timeout", "the connection to {} was lost: keepalive pings were not answered"),
    ("Connection reset", "the connection to {} was closed"),
    ("Broken pipe", "the connection to {} was closed"),
    ("Socket closed", "the connection to {} was closed"),
    ("imed out", "the connection to {} timed out"),
    ("Timeout occurred", "the connection to {} timed out"),
    ("before handshake timeout", "the connection to {} timed out"),
    ("Hostname Verification", "the certificate of {} is for another host; use the host that it names"),
    ("handshake", "the TLS handshake with {} failed: check the certificates"),
)
"""Part of gRPC's text, and the sentence for it."""


def describe_connection_error(text: str) -> str:
    """Return the sentence for gRPC's text, or the text itself if it is not a known one."""
    unresolved = _UNRESOLVED.search(text)
    if unresolved is not None:
        return f"the host name {unresolved[1]} cannot be resolved"
    peer = _PEER.search(text)
    if peer is None:
        return text
    for part, sentence in _SENTENCES:
        if part in text:
            return sentence.format(unquote(peer[1]))
    return text
