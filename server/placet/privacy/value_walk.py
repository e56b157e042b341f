"""Collects the texts of a JSON value for screening, and inserts the screened texts.

Also replaces values at sensitive places, values under secret names, and card numbers without quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from placet.privacy.cards import CARD_DIGITS_MAX, CARD_DIGITS_MIN, is_card
from placet.privacy.detectors import CARD, SECRET, Places, marker
from placet.privacy.secret_names import VALUES, counts, is_secret, is_secret_pair, may_be_secret, named_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

SENSITIVE: Final = marker("sensitive")
"""Replaces a value at a sensitive pointer."""
ANY_MEMBER: Final = "*"
"""Reference token of a sensitive pointer that matches any member or index."""
_NUMBER_MIN: Final = 10 ** (CARD_DIGITS_MIN - 1)
_NUMBER_MAX: Final = 10**CARD_DIGITS_MAX
NUMBERS: Final = (int, float)
_EMPTY: Final[tuple[Any, ...]] = ("", [], {})
_PLAIN: Final = frozenset({int, float, bool})
CONTAINERS: Final = frozenset({dict, list})
_LOOKED_INTO: Final = frozenset({str, dict, list, int, float})
_MARKER: Final = re.compile(r"\[redacted:[a-z_]+\]\Z")
_MARKED_KEY: Final = re.compile(r"\[redacted:[a-z_]+\](?:#[0-9]+)?\Z")
"""A key that was replaced. The marker says what the key was, and nothing about its value."""


@dataclass(slots=True)
class SensitivePlaces:
    """A tree of reference tokens that lead to sensitive values."""

    sensitive: bool = False
    members: dict[str, SensitivePlaces] = field(default_factory=dict)


_Texts: TypeAlias = "Iterator[tuple[int, str]]"


class ValueWalk:
    """Walks a value twice in the same order: to collect its texts, and to insert the screened texts."""

    def __init__(self, by_name: bool) -> None:  # noqa: FBT001 - one flag
        self._by_name = by_name
        self.places = Places()
        self.texts: list[str] = []
        self.hides = False
        """Whether something is replaced whatever the screening of the texts finds."""
        self._hidden: set[int] = set()
        """How many texts there were after each key whose value is replaced."""

    def collect(self, value: Any, at: tuple[SensitivePlaces, ...]) -> None:  # noqa: ANN401 - any JSON value
        """Collect the texts of a value, including keys, that are not replaced as a whole."""
        if at and any(place.sensitive for place in at):
            self.hides |= value != SENSITIVE
        elif type(value) is dict:
            self._collect_members(value, at)
        elif type(value) is list and at:
            for index, item in enumerate(value):
                self.collect(item, _at(at, str(index)))
        elif type(value) is list:
            if self._by_name and is_secret_pair(value):
                self.texts.append(value[0])
                self.hides |= not _MARKER.match(value[1])
                self._hidden.add(len(self.texts))
            elif not _PLAIN.issuperset(map(type, value)):
                for item in value:
                    self._collect_item(item)
            elif value and max(value) >= _NUMBER_MIN:
                self.hides |= any(map(_is_card_number, value))
        else:
            self._collect_item(value)

    def _collect_members(self, value: dict[str, Any], at: tuple[SensitivePlaces, ...]) -> None:
        named = named_secret(value) if self._by_name else ""
        for key, item in value.items():
            self.texts.append(key)
            if self._by_name and (self._is_hidden(key, item) or (named and self._is_value(key, item, named))):
                self.hides = True
                self._hidden.add(len(self.texts))
            elif below := _at(at, key):
                self.collect(item, below)
            else:
                self._collect_item(item)

    def _collect_item(self, item: Any) -> None:  # noqa: ANN401 - any JSON value
        kind = type(item)
        if kind is str:
            self.texts.append(item)
        elif kind in CONTAINERS:
            if item:
                self.collect(item, ())
        elif kind in NUMBERS and _may_be_card(item):
            self.hides |= _is_card_number(item)

    def rebuilt(self, value: Any, at: tuple[SensitivePlaces, ...], texts: _Texts) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value with its texts replaced by the next of `texts`, which are numbered from 1."""
        if at and any(place.sensitive for place in at):
            return SENSITIVE
        if type(value) is str:
            return next(texts)[1]
        if type(value) is list and self._by_name and not at and is_secret_pair(value):
            return [next(texts)[1], marker(SECRET)]
        if type(value) is list:
            return [
                self.rebuilt(item, below, texts) if below or type(item) in _LOOKED_INTO else item
                for index, item in enumerate(value)
                for below in (_at(at, str(index)) if at else at,)
            ]
        if type(value) is dict:
            return self._object(value, at, texts)
        return marker(CARD) if _is_card_number(value) else value

    def _object(self, value: dict[str, Any], at: tuple[SensitivePlaces, ...], texts: _Texts) -> dict[str, Any]:
        members: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        for key, item in value.items():
            count, new_key = next(texts)
            name = key if new_key == key else _free(new_key, value, members, numbers)
            members[name] = marker(SECRET) if count in self._hidden else self.rebuilt(item, _at(at, key), texts)
        return members

    def _is_hidden(self, key: str, item: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Return whether the value is secret by its name. Empty values, booleans and counts are not."""
        if not may_be_secret(key) or item is None or type(item) is bool or _MARKED_KEY.match(key):
            return False
        if item in _EMPTY or (type(item) is str and _MARKER.match(item)):
            return False
        self.places.look()
        return bool(is_secret(key)) and not (type(item) in NUMBERS and counts(key))

    def _is_value(self, key: str, item: Any, named: str) -> bool:  # noqa: ANN401 - any JSON value
        """Return whether it is the value that another member names as a secret, and no count."""
        if key.lower() not in VALUES or item is None or type(item) is bool or item in _EMPTY:
            return False
        self.places.look()
        return not (type(item) is str and _MARKER.match(item)) and not (type(item) in NUMBERS and counts(named))


def _is_card_number(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether it is a card number without quotes."""
    if type(value) not in NUMBERS or not _may_be_card(value):
        return False
    return bool(value == int(value) and is_card(str(int(value))))


def _may_be_card(number: Any) -> bool:  # noqa: ANN401 - a JSON number
    return bool(_NUMBER_MIN <= number < _NUMBER_MAX)


def _free(key: str, value: dict[str, Any], members: dict[str, Any], numbers: dict[str, int]) -> str:
    """Return the key, numbered if it is taken, so that no member replaces another.

    `numbers` holds the last number used for each key, so that many equal keys take no longer than others.
    """
    number = numbers.get(key, 0)
    while True:
        number += 1
        name = key if number == 1 else f"{key}#{number}"
        if name not in value and name not in members:
            numbers[key] = number
            return name


def _at(places: tuple[SensitivePlaces, ...], token: str) -> tuple[SensitivePlaces, ...]:
    """Return the places below `places` at a member or index."""
    if not places:
        return places
    return tuple(
        below for place in places for name in (token, ANY_MEMBER) if (below := place.members.get(name)) is not None
    )
