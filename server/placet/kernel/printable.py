"""Texts that cannot control a terminal, or look like more lines than they are."""

from __future__ import annotations

import re
from typing import Final

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def visible(text: str) -> str:
    """Return the text with a replacement for each character that is not printable.

    Those are line breaks, control characters such as those that begin the commands of a terminal, characters that
    change the direction of writing, and most invisible ones.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _REPLACEMENT for char in text)


def visible_lines(text: str) -> list[str]:
    """Return the lines of the text, each of them visible."""
    return [visible(line) for line in text.splitlines()]


def escaped_json(document: str) -> str:
    r"""Return the same JSON document with each character that is not printable as ``\uXXXX``; line feeds stay.

    Such characters are only in its strings. JSON itself escapes those up to U+001F alone.
    """
    return document if _printable(document) else _NOT_PRINTABLE.sub(_escape, document)


_NOT_PRINTABLE: Final = re.compile(r"[^\n\x20-\x7e]")


def _printable(document: str) -> bool:
    return document.replace("\n", "").isprintable()


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index] << 8 | units[index + 1]:04x}" for index in range(0, len(units), 2))
