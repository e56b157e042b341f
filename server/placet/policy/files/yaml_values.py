"""Turns the events of a YAML text into values, each of which has exactly one meaning. See `strict_yaml`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, StreamEndEvent
from yaml.nodes import ScalarNode

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.kernel.diagnostics import Place

    Event = Any
    """An event of PyYAML."""

DEPTH_MAX: Final = 32
"""Levels of nesting; no policy data is deeper."""
DECIMAL_PLACES_MAX: Final = 18
"""Digits after the decimal point: enough for any currency or share."""
KNOWN_CHARS_MAX: Final = 32
KNOWN_MAX: Final = 10_000
"""Short scalars that are remembered, because finding their types takes half of the time of a file."""

_TAG: Final = "tag:yaml.org,2002:"
_STR: Final = _TAG + "str"
_VALUES: Final[dict[tuple[str, tuple[bool, bool]], object]] = {}
"""Text of a scalar, with whether it is plain and whether it is quoted -> its value."""
_KEYS: Final[dict[tuple[str, tuple[bool, bool]], str]] = {}
"""The same of keys. So the documents of many tenants share their texts."""
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_EXPONENT: Final = re.compile(r"[-+]?[0-9][0-9.]*[eE][-+]?[0-9]+$")
_QUOTE_IT: Final = 'if it is text, quote it: "{}"'


class _Loader(yaml.CSafeLoader):
    """Yields events. Recognises words that some YAML readers take for booleans."""


_Loader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"[yYnN]$"), list("yYnN"))


def exact_decimal(text: str) -> Decimal:
    """Return the decimal number exactly. Raises ValueError for another text, and for a number out of range."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text} is not a decimal number in range")
    number = Decimal(text)
    if number.adjusted() >= len(str(SAFE_INTEGER_MAX)) or -int(number.as_tuple().exponent) > DECIMAL_PLACES_MAX:
        limits = f"at most {SAFE_INTEGER_MAX}, with at most {DECIMAL_PLACES_MAX} decimal places"
        raise ValueError(f"{text} is out of range: {limits}")
    return number


class YamlValues:
    """Reads one text, in one pass, so that a tenant's file takes 1 ms.

    `lines` receives the line of each part, if given. Methods raise PolicyInvalidError for what is ambiguous, and
    yaml.YAMLError for what is not YAML.
    """

    def __init__(self, name: str, text: str, lines: dict[Place, int] | None = None) -> None:
        self._name = name
        self._loader = _Loader(text)
        self._next: Callable[[], Event] = self._loader.get_event
        self._lines = lines
        self._anchors: set[str] = set()

    def read(self) -> object:
        """Return the value of the only document; None when there is none."""
        try:
            self._next()  # the start of the stream
            if isinstance(self._next(), StreamEndEvent):
                return None
            value = self._value(self._next(), (), 0)
            self._next()  # the end of the document
            if not isinstance(event := self._next(), StreamEndEvent):
                raise self._invalid(event, "is not YAML: but found another document")
            return value
        finally:
            self._loader.dispose()

    def _value(self, event: Event, path: Place, depth: int) -> object:
        if self._lines is not None:
            self._lines.setdefault(path, _line(event))
        if type(event) is ScalarEvent:
            return self._scalar(event)
        self._check(event)
        if depth == DEPTH_MAX:
            raise self._invalid(event, f"is nested deeper than {DEPTH_MAX} levels")
        if type(event) is MappingStartEvent:
            return self._mapping(path, depth + 1)
        return self._sequence(path, depth + 1)

    def _sequence(self, path: Place, depth: int) -> list[object]:
        items: list[object] = []
        while type(event := self._next()) is not SequenceEndEvent:
            items.append(self._value(event, (*path, len(items)), depth))
        return items

    def _mapping(self, path: Place, depth: int) -> dict[str, object]:
        members: dict[str, object] = {}
        keys: dict[str, Event] = {}
        while type(event := self._next()) is not MappingEndEvent:
            key = self._key(event)
            if key in members:
                what = f"duplicate key {key} (first in line {_line(keys[key])})"
                raise self._invalid(event, what, "keep one")
            keys[key] = event
            inner = (*path, key)
            if self._lines is not None:
                self._lines[inner] = _line(event)
            members[key] = self._value(self._next(), inner, depth)
        return members

    def _key(self, event: Event) -> str:
        """Return a key. Remembers short ones."""
        self._check(event)
        if type(event) is not ScalarEvent:
            raise self._invalid(event, "a key must be text")
        text: str = event.value
        known = _KEYS.get((text, event.implicit))
        if known is not None:
            return known
        if self._tag(event) != _STR:
            what = f"some YAML readers do not take the key {text} for text"
            raise self._invalid(event, what, f'quote it: "{text}"')
        if len(text) <= KNOWN_CHARS_MAX and len(_KEYS) < KNOWN_MAX:
            _KEYS[text, event.implicit] = text
        return text

    def _scalar(self, event: Event) -> object:
        """Return the value of a scalar. Remembers those of short ones."""
        self._check(event)
        text, implicit = event.value, event.implicit
        value = _VALUES.get((text, implicit), _VALUES)
        if value is _VALUES:
            value = self._scalar_value(event, self._tag(event).removeprefix(_TAG))
            if len(text) <= KNOWN_CHARS_MAX and len(_VALUES) < KNOWN_MAX:
                _VALUES[text, implicit] = value
        return value

    def _tag(self, event: Event) -> str:
        return str(self._loader.resolve(ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]

    def _check(self, event: Event) -> None:
        """Raise for an alias, a tag, and for an anchor of the same name as another."""
        if event.anchor is not None:
            if isinstance(event, AliasEvent):
                raise self._invalid(event, f"the alias *{event.anchor} is not supported", "write the value in full")
            if event.anchor in self._anchors:
                raise self._invalid(event, "is not YAML: second occurrence")
            self._anchors.add(event.anchor)
        if event.tag is not None:
            raise self._invalid(event, f"the tag {event.tag} is not supported", "write the value without a tag")

    def _scalar_value(self, event: Event, kind: str) -> object:
        text = str(event.value)
        if kind in {"str", "timestamp"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            if text not in {"true", "false"}:
                what = f"YAML readers disagree whether {text} is a boolean"
                raise self._invalid(event, what, "write true or false, or quote it")
            return text == "true"
        if kind == "int":
            return self._integer(event, text)
        if kind == "float":
            try:
                return exact_decimal(text)
            except ValueError as error:
                raise self._invalid(event, str(error), _QUOTE_IT.format(text)) from None
        raise self._invalid(event, f"YAML readers disagree about the type of {text}", _QUOTE_IT.format(text))

    def _integer(self, event: Event, text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise self._invalid(event, f"YAML readers disagree about the number {text}", _QUOTE_IT.format(text))
        if len(text) > len(str(-SAFE_INTEGER_MAX)) or abs(int(text)) > SAFE_INTEGER_MAX:
            what = f"{text} is beyond {SAFE_INTEGER_MAX}, the largest whole number that JSON holds exactly"
            raise self._invalid(event, what)
        return int(text)

    def _invalid(self, event: Event, what: str, remedy: str = "") -> PolicyInvalidError:
        return PolicyInvalidError([Diagnostic(f"{self._name}:{_line(event)}", what, remedy)])


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1
