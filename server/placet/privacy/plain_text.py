"""Text as a reader sees it: invisible characters removed; digits, letters, spaces and dashes in ASCII.

Detectors examine text beyond ASCII a second time in this form, because a card number may have zero-width spaces between
its digits. Each character is replaced separately, which takes linear time; Unicode's normal forms do not.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from placet.matching.names import look_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
)
"""Default-ignorable code points (UAX 44) that are not format characters (Cf)."""
_WIDE: Final = range(0xFF01, 0xFF5F)
_WIDE_OFFSET: Final = 0xFEE0
"""From an ASCII character to its fullwidth form."""
_FORMS: Final = {"Zs": " ", "Pd": "-", "Zl": "\n", "Zp": "\n"}
_SIGNS: Final = {
    **dict.fromkeys("\u00b7\u2022\u2024\u2027\u2219\u22c5\u30fb", "."),
    **dict.fromkeys("\u2044\u2215\u29f8", "/"),
}
_ACCENTS: Final = range(0x300, 0x370)
_ALPHABETS: Final = (*range(0xC0, 0x250), *range(0x370, 0x590), *range(0x1E00, 0x2000))
"""Latin with accents, Greek, Cyrillic and Armenian."""
_NO_PARTS: Final = {"\u0142": "l", "\u00f8": "o", "\u0131": "i", "\u0111": "d"}
"""Letters that Unicode does not decompose: it treats their stroke or missing dot as no accent."""
_TAGS: Final = range(0xE0000, 0xE1000)
_SCANNED: Final = (
    *(
        range(0x80, 0x3100),
        range(0x3164, 0x3165),
        range(0xA600, 0xAC00),
        range(0xFE00, 0x10000),
        range(0x10400, 0x11E00),
    ),
    *(range(0x13430, 0x13460), range(0x16A00, 0x16E00), range(0x1BCA0, 0x1BCA4), range(0x1D170, 0x1D800)),
    *(range(0x1E100, 0x1EA00), range(0x1FBF0, 0x1FC00)),
)
"""Blocks that contain characters with a plain form. Scanning all of Unicode would take 0.6 s."""
_PIECE_CHARS: Final = 256
"""Characters that are checked together for one beyond ASCII."""


def plain(text: str) -> str:
    """Return the text in plain form; the same object when it already is."""
    return text if text.isascii() else _translated(text, _table())


def as_latin(text: str) -> str:
    """Return the text with accented letters, and letters that look Latin, replaced by Latin letters."""
    return text if text.isascii() else _translated(text, _looks())


def plain_latin(text: str) -> str:
    """Return `as_latin(plain(text))`, in one pass."""
    return text if text.isascii() else _translated(text, _both())


@lru_cache(maxsize=1)
def _both() -> dict[int, str | None]:
    return {**_table(), **_looks()}


def _translated(text: str, table: Mapping[int, str | None]) -> str:
    """Apply `str.translate` only to pieces with a character beyond ASCII.

    It looks up every character: 60 KiB took 9 ms.
    """
    if len(text) <= _PIECE_CHARS:
        return text.translate(table)
    pieces = (text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS))
    return "".join(piece if piece.isascii() else piece.translate(table) for piece in pieces)


def prepare() -> None:
    """Build the tables, so that no request waits for them."""
    _both()


@lru_cache(maxsize=1)
def _looks() -> dict[int, str]:
    """Return the letters that look like a Latin letter, with that letter. Combining accents map to nothing."""
    looks: dict[int, str] = dict.fromkeys(_ACCENTS, "")
    for point in _ALPHABETS:
        small = chr(point).lower().replace("\u03c2", "\u03c3")
        base = unicodedata.normalize("NFKD", small)[0] if small else ""
        look = _NO_PARTS.get(small) or (base if base.isascii() else look_of(base))
        look = look.lower() if look.isascii() and look.isalpha() else base
        if look != chr(point).lower():
            looks[point] = look.upper() if chr(point).isupper() else look
    return looks


@lru_cache(maxsize=1)
def _table() -> dict[int, str | None]:
    """Return the plain form of each character that has one. Takes some 15 ms, so it is built on first use."""
    table: dict[int, str | None] = dict.fromkeys(_TAGS)
    for block in _SCANNED:
        table |= {point: form for point in block if (form := plain_form(chr(point))) != chr(point)}
    return table


def plain_form(character: str) -> str | None:
    """Return the plain form of one character; None when it is removed."""
    category = unicodedata.category(character)
    if category in {"Cf", "Cc"} or character in _INVISIBLE or ord(character) in _TAGS:
        return None
    if category == "Nd":
        return str(unicodedata.digit(character))
    if ord(character) in _WIDE:
        return chr(ord(character) - _WIDE_OFFSET)
    return _FORMS.get(category) or _SIGNS.get(character, character)
