"""Redaction of JSON values and log lines: by place (JSON pointers), and by what a value looks like (detectors)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.core.detectors import CARD, CARD_DIGITS_MAX, CARD_DIGITS_MIN, candidates, is_card, marker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.core.detectors import Detector

SENSITIVE: Final = marker("sensitive")
"""In place of a value at a sensitive pointer."""
ANY_MEMBER: Final = "*"
_NUMBER_MIN: Final = 10 ** (CARD_DIGITS_MIN - 1)
_NUMBER_MAX: Final = 10**CARD_DIGITS_MAX


@dataclass(slots=True)
class _Places:
    """Where sensitive values are: a tree of reference tokens."""

    sensitive: bool = False
    members: dict[str, _Places] = field(default_factory=dict)


def redact_params(value: Any, sensitive: tuple[str, ...] = ()) -> tuple[Any, bool]:  # noqa: ANN401 - any JSON value
    """The JSON value with what must not be kept replaced by markers, and whether anything was.

    `sensitive` are JSON pointers (RFC 6901) in which ``*`` stands for any member or index; one that leads nowhere does
    nothing. Keys that a detector finds are replaced as well. The value itself is not changed; what is untouched is
    shared with the result. ValueError for a pointer that is neither "" nor begins with a slash.
    """
    detectors = candidates(orjson.dumps(value))
    if not detectors and not sensitive:
        return value, False
    redacted = _walk(value, (_places(sensitive),), detectors)
    return redacted, redacted is not value


def redact_text(text: str) -> str:
    """The text with every value that a detector finds replaced by a marker such as ``[redacted:card]``."""
    return _screen(text, candidates(text.encode(errors="replace")))


@lru_cache(maxsize=4_096)
def _places(pointers: tuple[str, ...]) -> _Places:
    root = _Places()
    for pointer in pointers:
        if pointer and not pointer.startswith("/"):
            raise ValueError(f"{pointer!a} is no JSON pointer; it must begin with /")
        place = root
        for token in pointer.split("/")[1:]:
            place = place.members.setdefault(token.replace("~1", "/").replace("~0", "~"), _Places())
        place.sensitive = True
    return root


def _walk(value: Any, places: tuple[_Places, ...], detectors: Sequence[Detector]) -> Any:  # noqa: ANN401 - any JSON value
    """The value redacted; the same object when nothing in it was."""
    if any(place.sensitive for place in places):
        return SENSITIVE
    kind = type(value)
    if kind is dict:
        return _object(value, places, detectors)
    if kind is list:
        items = [_walk(item, _at(places, str(index)), detectors) for index, item in enumerate(value)]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not detectors:
        return value
    if kind is str:
        return _screen(value, detectors)
    return _screen_number(value) if kind is int or kind is float else value


def _object(value: dict[str, Any], places: tuple[_Places, ...], detectors: Sequence[Detector]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    changed = False
    for key, item in value.items():
        new_key = _screen(key, detectors)
        new_item = _walk(item, _at(places, key), detectors)
        changed |= new_key is not key or new_item is not item
        members[new_key if new_key is key else _free(new_key, value, members)] = new_item
    return members if changed else value


def _free(key: str, value: dict[str, Any], members: dict[str, Any]) -> str:
    """The key, numbered where it is taken: no member may vanish behind another."""
    number = 1
    name = key
    while name in value or name in members:
        number += 1
        name = f"{key}#{number}"
    return name


def _at(places: tuple[_Places, ...], token: str) -> tuple[_Places, ...]:
    if not places:
        return places
    return tuple(
        below for place in places for name in (token, ANY_MEMBER) if (below := place.members.get(name)) is not None
    )


def _screen(text: str, detectors: Sequence[Detector]) -> str:
    """The same object when nothing was found."""
    for detector in detectors:
        text = detector.replace(text)
    return text


def _screen_number(number: float) -> float | str:
    """A card number is one without quotes, too."""
    if _NUMBER_MIN <= number < _NUMBER_MAX and number == int(number) and is_card(str(int(number))):
        return marker(CARD)
    return number
