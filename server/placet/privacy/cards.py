"""Finds payment card numbers in text, with any usual separators between the digits."""

from __future__ import annotations

import re
from itertools import accumulate, count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CARD_DIGITS_MIN: Final = 13
CARD_DIGITS_MAX: Final = 19
_HEX_CHARS: Final = 4
"""So many hexadecimal characters before or after a number make it a part of a digest or an id."""
_HEX: Final = frozenset("0123456789abcdef")
_ODD: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))

_SEPARATOR: Final = r"[ \u00a0\t\r\n]?[-.,_/\\|:;*~'][ \u00a0\t]?|[ \u00a0\t]{1,2}|\r?\n"
_NUMBERS: Final = re.compile(
    r"[0-9](?<![0-9]{2})(?:[0-9]{12,18}(?![0-9])"
    rf"|[0-9]{{0,5}}({_SEPARATOR})[0-9]{{1,6}}(?>(?:\1[0-9]{{1,6}}(?![0-9]))+)"
    r"|[0-9]{4,11}([ -])[0-9]{5,12}(?![0-9]))"
)
"""A number without separators, a row of groups with one separator between all of them, or two long groups."""
_LAST_GROUP: Final = re.compile(r"[0-9]+\Z")
_ROWS_TOGETHER: Final = 256
_UNEVEN: Final = ((4, 6, 5), (4, 6, 4), (6, 6, 4))
"""Groups of American Express, of Diners Club, and of forms that split numbers by issuer."""
_GROUP_DIGITS: Final = 4
_FIRST: Final = frozenset({4, 6})


def card_spans(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Yield where card numbers are, in order. Calls `look` for each number that it examines closely.

    Empty spans between them are places where a caller may pause.
    """
    position = 0
    for number in count(1):
        if not number % _ROWS_TOGETHER:
            yield position, position
        if not (row := _NUMBERS.search(text, position)):
            return
        start, end = row.span()
        separator = row[1] or row[2]
        if separator is None:
            position = end
            look()
            if is_card(row[0]) and not _in_hex(text, start, end):
                yield start, end
            continue
        last = _LAST_GROUP.search(text, max(start, end - CARD_DIGITS_MAX), end)
        position = last.start() if last else end  # another row may begin with this one's last group
        for begin, length in _within(row[0], separator, look):
            if not _in_hex(text, start + begin, start + begin + length):
                yield start + begin, start + begin + length
                position = max(position, start + begin + length)


def _within(row: str, separator: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Yield start and length of each card number in a row of groups."""
    groups = row.split(separator)
    sizes = [*map(len, groups)]
    if sum(sizes) < CARD_DIGITS_MIN:
        return
    look()
    if _is_one(sizes) and is_card("".join(groups)):
        yield 0, len(row)
        return
    if _FIRST.isdisjoint(sizes):
        return
    offsets = [0, *accumulate(size + len(separator) for size in sizes)]
    index = 0
    while index < len(groups):
        group_count = _card_groups(groups, sizes, index, look) if sizes[index] in _FIRST else 0
        if group_count:
            yield offsets[index], offsets[index + group_count] - len(separator) - offsets[index]
        index += group_count or 1


def _is_one(sizes: Sequence[int]) -> bool:
    """Return whether a row may be one number: groups of equal size, the last of them possibly smaller."""
    return sum(sizes) <= CARD_DIGITS_MAX and sizes[-1] <= sizes[0] and len({*sizes[:-1]}) == 1


def _card_groups(groups: Sequence[str], sizes: Sequence[int], index: int, look: Callable[[], None]) -> int:
    """Return how many groups from `index` on are a card number: five, four or three; 0 when none are."""
    if tuple(sizes[index : index + 4]) == (4, 4, 4, 4):
        look()
        rest = sizes[index + 4] if len(sizes) > index + 4 else _GROUP_DIGITS
        if rest < _GROUP_DIGITS and is_card("".join(groups[index : index + 5])):
            return 5
        return 4 if is_card("".join(groups[index : index + 4])) else 0
    if tuple(sizes[index : index + 3]) in _UNEVEN:
        look()
        return 3 if is_card("".join(groups[index : index + 3])) else 0
    return 0


def _in_hex(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - _HEX_CHARS) : start], text[end : end + _HEX_CHARS]
    return any(len(chars) == _HEX_CHARS and _HEX.issuperset(chars) for chars in (before, after))


def is_card(digits: str) -> bool:
    """Return whether ASCII digits are a payment card number: length, range of issuers, Luhn check digit."""
    if not CARD_DIGITS_MIN <= len(digits) <= CARD_DIGITS_MAX:
        return False
    if not (digits[0] in "3456" or "22" <= digits[:2] <= "27"):
        return False
    backwards = digits.encode()[::-1]
    return (sum(backwards[::2].translate(_ODD)) + sum(backwards[1::2].translate(_DOUBLED))) % 10 == 0
