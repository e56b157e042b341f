"""Whether a destination is written in the one form in which everybody reads it alike.

What is matched, recorded, approved and signed is the caller's own text. So it must not be one that Placet reads in one
way and the tool in another: `destination_fault` says what is wrong with one that can be, and such an action is denied.
Nothing is rewritten, because the tool would still be given what the caller wrote.

A text with ``scheme://``, or that begins with one of the schemes that browsers know (``https:``), is a URL and is read
by the rules of the WHATWG. Any other text is a name: of a host, queue, branch, table or file.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from ada_url import URL

from placet.matching.names import name_fault

_CACHE: Final = 4_096
_SPECIAL: Final = frozenset({"http", "https", "ws", "wss", "ftp", "file"})
"""Schemes of which a URL has a host that is normalised, by the URL standard."""
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_SEGMENTS: Final = re.compile(r"[/\\]")
_ENCODED: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
_IDEOGRAPHIC_STOP: Final = "\u3002"
_SEPARATORS: Final = frozenset("/\\%")
"""Encoded, some readers take these for what they encode, and some do not."""


@lru_cache(maxsize=_CACHE)
def destination_fault(destination: str) -> str:
    """What makes a destination ambiguous, and how to write it; "" for nothing, and for none."""
    if not destination:
        return ""
    scheme = _SCHEME.match(destination)
    if scheme and (scheme[2] or scheme[1].lower() in _SPECIAL):
        return _url_fault(destination, is_special=scheme[1].lower() in _SPECIAL)
    return _name_fault(destination)


def _url_fault(said: str, *, is_special: bool) -> str:
    try:
        url = URL(said)
    except ValueError:
        return "is no URL; write scheme://host/path"
    if is_special and (url.username or url.password):
        return "holds a user or password before the host; leave them out"
    if said not in {url.href, url.href.removesuffix("/")}:
        return f"is not in its normal form, in which it is {url.href}"
    if url.hostname.endswith("."):
        return "has a host that ends in a dot; write the host without it"
    if is_special and "//" in url.pathname:
        return "has an empty segment (//) in its path; write the path without it"
    return _path_fault(url.pathname)


def _name_fault(said: str) -> str:
    if "//" in said:
        return "has an empty segment (//); write it without, or a URL with its scheme"
    hidden = "" if said.isascii() else name_fault(said)
    if hidden:
        return hidden
    if _IDEOGRAPHIC_STOP in said:
        return "holds an ideographic full stop, which is a dot in the name of a host; write a dot"
    composed = unicodedata.normalize("NFKC", said)
    if composed != said:
        return f"is not in its normal form, in which it is {composed}"
    return _path_fault(said) or ("ends in a dot; write it without" if said.endswith(".") else "")


def _path_fault(path: str) -> str:
    for segment in _SEGMENTS.split(path):
        if segment.partition(";")[0] in {".", ".."}:
            return f"has the path segment {segment}; write the path that it leads to"
    for encoded in _ENCODED.finditer(path):
        char = chr(int(encoded[1], 16)) if encoded[1] else ""
        if not char or char in _SEPARATORS or not char.isprintable() or _UNRESERVED.match(char):
            return f"holds {encoded[0]}, which some readers decode and some do not; write the character itself"
    return ""
