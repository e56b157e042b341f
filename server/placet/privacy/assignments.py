"""Finds secrets next to their name in a text: ``password=...``, ``?token=...``, ``Authorization: ...``.

Covers query parameters of URLs, headers, forms, connection strings, environment files, command lines, and JSON in text.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING, Final

from placet.privacy.secret_names import NAME_CHARS_MAX, STEMS, counts, is_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAF_END: Final = "\ud800"
"""Separates texts that are examined together. No valid text contains it, and no pattern matches across it."""

_STEM: Final = rf"(?:{'|'.join(STEMS)})"
_ASSIGNED: Final = r"(?:\\{0,4}[\"'\]]){0,2}[ \t]{0,3}(?:=>|[:=]|%3D)"
_NAMED: Final = re.compile(
    rf"(?<![\w.\-])(?=[\w.\-]{{3,{NAME_CHARS_MAX}}}+{_ASSIGNED})[\w.\-]*?{_STEM}[\w.\-]{{0,24}}+{_ASSIGNED}[ \t]{{0,3}}"
    rf"|(?<![\w\-])--?(?=\w[\w\-]{{1,48}}+[ \t])[\w\-]*?{_STEM}[\w\-]{{0,24}}+[ \t]{{1,3}}",
    re.IGNORECASE | re.ASCII,
)
"""A name that may be secret with what separates it from its value, or a flag of a command."""
_WORDS_BEFORE: Final = re.compile(r"[A-Za-z0-9_.\- ]*\Z")
_WORDS_CHARS_MAX: Final = 24
_HEADERS: Final = re.compile(r"(?:authorization|cookie)\Z", re.IGNORECASE)
_SCHEME: Final = re.compile(r"(?:(?:Bearer|Basic|Token|Digest|Negotiate|ApiKey|AWS4-HMAC-SHA256)[ ]+)?", re.IGNORECASE)
_QUOTED: Final = re.compile(
    r"""(?P<escaped>\\{1,4})(?P<quote>["'])(?P<inner>[^"'\ud800]*+)|"(?P<double>(?>(?:[^"\\\ud800]|\\[^\ud800])*))"""
    r"""|'(?P<single>(?>(?:[^'\\\ud800]|\\[^\ud800])*))"""
)
_LINE: Final = re.compile(r"[^\r\n\ud800]*+")
_IN_URL: Final = re.compile(r"[^&#\s\"'<>\ud800]*+")
_WORD: Final = re.compile(r"[^\s\ud800]*+")
_AFTER: Final = " ,;\"'\n"
_TRAILING: Final = ",;)}\"'"
_NOTHING: Final = re.compile(
    r"(?:\[redacted:[a-z_]+\]|\$?\{\{?[\w. -]*\}?\}|\*+|<[\w -]+>|null|none|true|false)?\Z", re.IGNORECASE
)
"""Not a secret: a marker, a placeholder, a literal of JSON, an empty value."""
_NAMES_TOGETHER: Final = 256
_URL_MARKS: Final = frozenset("?&#")
_NUMBER: Final = re.compile(r"[0-9.]+\Z")


def assignment_spans(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Yield where secret values are in a text, in order. Calls `look` for each name that may be secret.

    Empty spans between them are places where a caller may pause.
    """
    position = 0
    for names in count(1):
        if not names % _NAMES_TOGETHER:
            yield position, position
        if not (match := _NAMED.search(text, position)):
            return
        look()
        start, end = _value(text, match)
        position = max(match.end(), end)
        if end > start:
            yield start, end


def _value(text: str, match: re.Match[str]) -> tuple[int, int]:
    """Return the span of a name's value; empty when it is not secret."""
    start = match.start()
    name = match[0].rstrip(" \t").rstrip(">=:").removesuffix("%3D").rstrip(" \t\"'\\]")
    before = text[start - 1 : start]
    in_url = before in _URL_MARKS
    if before == " ":  # as in "api key: ..."
        words = _WORDS_BEFORE.search(text, max(0, start - _WORDS_CHARS_MAX), start)
        name = (words[0] if words else "") + name
    if not is_secret(name, in_url=in_url):
        return 0, 0
    start, end = _extent(text, match.end(), name, in_url=in_url)
    value = text[start:end]
    if (
        _NOTHING.match(value)
        or _NOTHING.match(text[start : end + 2].rstrip(_AFTER))
        or (_NUMBER.match(value) and counts(name))
    ):
        return 0, 0
    return start, end


def _extent(text: str, start: int, name: str, *, in_url: bool) -> tuple[int, int]:
    """Return the span of the value that begins at `start`.

    A value is quoted, a parameter of a URL, the rest of a header line, or a word.
    """
    quoted = _QUOTED.match(text, start)
    if quoted:
        group = "inner" if quoted["escaped"] else "double" if quoted["double"] is not None else "single"
        start, end = quoted.span(group)
        return start, start + len(text[start:end].rstrip("\\")) if quoted["escaped"] else end
    if in_url:
        return _span(_IN_URL, text, start)
    if _HEADERS.search(name):
        scheme = _SCHEME.match(text, start)
        return _span(_LINE, text, scheme.end() if scheme else start)
    start, end = _span(_WORD, text, start)
    return start, start + len(text[start:end].rstrip(_TRAILING))


def _span(pattern: re.Pattern[str], text: str, start: int) -> tuple[int, int]:
    match = pattern.match(text, start)
    return match.span() if match else (start, start)
