"""YAML and JSON, read so that there is one way to read them.

What two YAML readers could take for different values is refused rather than guessed: keys that stand twice, `yes` and
`on`, numbers with underscores, leading zeros or colons, anchors, tags. Decimals become `decimal.Decimal`, never floats.
Every value's line is kept, so that what is found wrong later can name it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from placet.kernel.diagnostics import Place

DEPTH_MAX: Final = 32
"""Levels of nesting; no policy data is deeper."""
DECIMAL_PLACES_MAX: Final = 18
"""Digits after the point; enough for any currency or share."""

_TAG: Final = "tag:yaml.org,2002:"
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_EXPONENT: Final = re.compile(r"[-+]?[0-9][0-9.]*[eE][-+]?[0-9]+$")
_QUOTE_IT: Final = 'in quotes if it is meant as text: "{}"'


class _Loader(yaml.CSafeLoader):
    """Only composes nodes; `_Reader` gives them values. Knows the words that some readers take for booleans."""


_Loader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"[yYnN]$"), list("yYnN"))


@dataclass(frozen=True, slots=True)
class Document:
    """A value read from a file, with the line of each part of it (1 is the first)."""

    name: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, path: Place) -> str:
        """``file:line`` of the part at `path`, or of the nearest part around it that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"


def read_yaml(content: bytes, name: str) -> Document:
    """Read one YAML document. Raises PolicyInvalidError naming the line and the remedy."""
    try:
        text = content.decode()
        _refuse_events(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise _wrong(name, content[: error.start].count(b"\n") + 1, "is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _wrong(name, line, f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _wrong(name, 1, f"is not YAML: {error}".replace("\n", " ")) from error
    if node is None:
        return Document(name, None)
    reader = _Reader(name)
    value = reader.read(node, ())
    return Document(name, value, reader.lines)


def _refuse_events(text: str, name: str) -> None:
    """Refuse what would be unsafe to compose: deep nesting (the composer recurses in C), aliases, tags."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(name, line, f"the alias *{event.anchor} is not taken", "write the value out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise _wrong(name, line, f"the tag {event.tag} is not taken", "write plain values")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise _wrong(name, line, f"is nested deeper than {DEPTH_MAX} levels")


def read_json(content: bytes, name: str) -> Document:
    """Read one JSON document with the same strictness; lines are not kept."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"the key {key!r} stands there twice")
            found[key] = value
        return found

    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON number")

    try:
        value = json.loads(content, parse_float=exact_decimal, parse_constant=constant, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise _wrong(name, error.lineno, f"is not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise _wrong(name, 1, "is not UTF-8") from error
    except RecursionError as error:
        raise _wrong(name, 1, f"is nested deeper than {DEPTH_MAX} levels") from error
    except ValueError as error:
        raise _wrong(name, 1, str(error)) from error
    return Document(name, value)


def exact_decimal(text: str) -> Decimal:
    """Read a decimal number exactly. Raises ValueError for what is none, and for what is out of range."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text} is no decimal number in range")
    number = Decimal(text)
    if number.adjusted() >= len(str(SAFE_INTEGER_MAX)) or -int(number.as_tuple().exponent) > DECIMAL_PLACES_MAX:
        limits = f"at most {SAFE_INTEGER_MAX}, with at most {DECIMAL_PLACES_MAX} decimal places"
        raise ValueError(f"{text} is out of range: {limits}")
    return number


class _Reader:
    """Gives nodes their values and notes their lines."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.lines: dict[Place, int] = {}

    def read(self, node: Node, path: Place) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise _wrong(self._name, line, "a key must be text")
            if key_node.tag != _TAG + "str":
                what = f"the key {key_node.value} could be read as something else than text"
                raise _wrong(self._name, line, what, f'write it in quotes: "{key_node.value}"')
            key = str(key_node.value)
            if key in found:
                first = self.lines[(*path, key)]
                raise _wrong(self._name, line, f"the key {key} stands there twice (first in line {first})", "keep one")
            self.lines[(*path, key)] = line
            found[key] = self.read(value_node, (*path, key))
        return found

    def _scalar(self, node: Node, path: Place) -> object:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind in {"str", "timestamp"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            if text not in {"true", "false"}:
                raise self._wrong(
                    path, f"{text} means different things to different readers", "write true or false, or quote it"
                )
            return text == "true"
        if kind == "int":
            return self._integer(text, path)
        if kind == "float":
            return self._decimal(text, path)
        raise self._wrong(path, f"{text} means something else to some readers", _QUOTE_IT.format(text))

    def _integer(self, text: str, path: Place) -> int:
        if not _INTEGER.fullmatch(text):
            raise self._wrong(path, f"{text} is a number that readers disagree about", _QUOTE_IT.format(text))
        if len(text) > len(str(-SAFE_INTEGER_MAX)) or abs(int(text)) > SAFE_INTEGER_MAX:
            raise self._wrong(
                path, f"{text} is beyond {SAFE_INTEGER_MAX}, the largest whole number that JSON holds exactly"
            )
        return int(text)

    def _decimal(self, text: str, path: Place) -> Decimal:
        try:
            return exact_decimal(text)
        except ValueError as error:
            raise self._wrong(path, str(error), _QUOTE_IT.format(text)) from None

    def _wrong(self, path: Place, what: str, remedy: str = "") -> PolicyInvalidError:
        return _wrong(self._name, self.lines[path], what, remedy)


def _wrong(name: str, line: int, what: str, remedy: str = "") -> PolicyInvalidError:
    return PolicyInvalidError([Diagnostic(f"{name}:{line}", what, remedy)])
