"""Checks that every reader interprets a destination alike.

The caller's own text is matched, recorded, approved and signed. So Placet and the tool must not read it differently:
`destination_error` says why a text is ambiguous, and such an action is denied. Placet does not normalise the text,
because the tool would still receive what the caller wrote.

A text with ``scheme://``, or that begins with a scheme that browsers know (``https:``), is a URL and is parsed by the
WHATWG URL standard. Any other text is a name: of a host, queue, branch, table or file.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from ada_url import URL

from placet.matching.names import name_error

_CACHE: Final = 4_096
_SPECIAL: Final = frozenset({"http", "https", "ws", "wss", "ftp", "file"})
"""Schemes whose host the URL standard normalises."""
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_SEGMENTS: Final = re.compile(r"[/\\]")
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
_IDEOGRAPHIC_STOP: Final = "\u3002"
_SEPARATORS: Final = frozenset("/\\%")
"""Characters whose percent-encoded form some readers decode and some do not."""


@lru_cache(maxsize=_CACHE)
def destination_error(destination: str) -> str:
    """Return why a destination is ambiguous and how to write it; empty when it is not, or when there is none."""
    if not destination:
        return ""
    scheme = _SCHEME.match(destination)
    if scheme and (scheme[2] or scheme[1].lower() in _SPECIAL):
        return _url_error(destination, is_special=scheme[1].lower() in _SPECIAL)
    return _name_error(destination)


def _url_error(destination: str, *, is_special: bool) -> str:
    try:
        url = URL(destination)
    except ValueError:
        return "is no URL; write scheme://host/path"
    if is_special and (url.username or url.password):
        return "holds a user or password before the host; leave them out"
    if destination not in {url.href, url.href.removesuffix("/")}:
        return f"is not in its normal form, in which it is {url.href}"
    if url.hostname.endswith("."):
        return "has a host that ends in a dot; write the host without it"
    if is_special and "//" in url.pathname:
        return "has an empty segment (//) in its path; write the path without it"
    return _path_error(url.pathname)


def _name_error(destination: str) -> str:
    if "//" in destination:
        return "has an empty segment (//); write it without, or a URL with its scheme"
    hidden = "" if destination.isascii() else name_error(destination)
    if hidden:
        return hidden
    if _IDEOGRAPHIC_STOP in destination:
        return "holds an ideographic full stop, which is a dot in the name of a host; write a dot"
    composed = unicodedata.normalize("NFKC", destination)
    if composed != destination:
        return f"is not in its normal form, in which it is {composed}"
    return _path_error(destination) or ("ends in a dot; write it without" if destination.endswith(".") else "")


def _path_error(path: str) -> str:
    for segment in _SEGMENTS.split(path):
        if segment.partition(";")[0] in {".", ".."}:
            return f"has the path segment {segment}; write the path that it leads to"
    for encoded in _ENCODED.finditer(path):
        char = chr(int(encoded[1], 16)) if encoded[1] else ""
        if not char or char in _SEPARATORS or not char.isprintable() or _UNRESERVED.match(char):
            return f"holds {encoded[0]}, which some readers decode and some do not; write the character itself"
    return ""
