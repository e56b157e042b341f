"""Read YAML and JSON strictly: every accepted text has exactly one meaning.

A text that two YAML readers could understand differently is refused: duplicate keys, `yes` and `on`, numbers with
underscores, leading zeros or colons, anchors and tags. Decimal numbers become `decimal.Decimal`, never floats. A
`Document` remembers the line of each value, so that later checks can name it.
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
"""Digits after the decimal point: enough for any currency or share."""

TAGGED_CHARS_MAX: Final = 32
TAGS_MAX: Final = 10_000
"""Short scalars of which the tag is remembered: type names, keys of schemas, tools."""

_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final[dict[tuple[str, tuple[bool, bool]], str]] = {}
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_EXPONENT: Final = re.compile(r"[-+]?[0-9][0-9.]*[eE][-+]?[0-9]+$")
_QUOTE_IT: Final = 'if it is text, quote it: "{}"'


class _Loader(yaml.CSafeLoader):
    """Composes nodes for `_NodeReader`. Recognises words that some YAML readers take for booleans."""

    def descend_resolver(self, *_: object) -> None:
        """Do nothing: there are no resolvers of paths, and PyYAML would look for them at each node."""

    def ascend_resolver(self) -> None:
        """Do nothing, likewise."""

    def resolve(self, kind: type[Node], value: str | None, implicit: object) -> str:
        """Return the tag of a node. Remembers those of short scalars, which are half of the time of a file."""
        if kind is not ScalarNode or value is None or len(value) > TAGGED_CHARS_MAX or not isinstance(implicit, tuple):
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        tag = _TAGS.get((value, implicit))
        if tag is None:
            tag = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
            if len(_TAGS) < TAGS_MAX:
                _TAGS[value, implicit] = tag
        return tag


_Loader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+0123456789"))
_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"[yYnN]$"), list("yYnN"))


@dataclass(frozen=True, slots=True)
class Document:
    """A value read from a file."""

    name: str  # of the file, for error messages
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)  # line of each part, from 1; empty for JSON

    def where(self, path: Place) -> str:
        """Return ``file:line`` of the part at `path`, or of the nearest part around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"


def read_yaml(content: bytes, name: str) -> Document:
    """Read one YAML document; an empty one has the value None.

    Raises PolicyInvalidError, which names the line and usually the remedy.
    """
    try:
        text = content.decode()
        _check_events(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise _invalid(name, content[: error.start].count(b"\n") + 1, "is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _invalid(name, line, f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _invalid(name, 1, f"is not YAML: {error}".replace("\n", " ")) from error
    if node is None:
        return Document(name, None)
    reader = _NodeReader(name)
    value = reader.read(node, ())
    return Document(name, value, reader.lines)


def _check_events(text: str, name: str) -> None:
    """Raise PolicyInvalidError for aliases, tags, and nesting over DEPTH_MAX: the composer recurses in C."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(name, line, f"the alias *{event.anchor} is not supported", "write the value in full")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise _invalid(name, line, f"the tag {event.tag} is not supported", "write the value without a tag")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            raise _invalid(name, line, f"is nested deeper than {DEPTH_MAX} levels")


def read_json(content: bytes, name: str) -> Document:
    """Read one JSON document as strictly as YAML; the document has no lines. Raises PolicyInvalidError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in pairs:
            if key in members:
                raise ValueError(f"duplicate key {key!r}")
            members[key] = value
        return members

    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is not a JSON number")

    try:
        value = json.loads(content, parse_float=exact_decimal, parse_constant=constant, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise _invalid(name, error.lineno, f"is not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise _invalid(name, 1, "is not UTF-8") from error
    except RecursionError as error:
        raise _invalid(name, 1, f"is nested deeper than {DEPTH_MAX} levels") from error
    except ValueError as error:
        raise _invalid(name, 1, str(error)) from error
    return Document(name, value)


def exact_decimal(text: str) -> Decimal:
    """Return the decimal number exactly. Raises ValueError for another text, and for a number out of range."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text} is not a decimal number in range")
    number = Decimal(text)
    if number.adjusted() >= len(str(SAFE_INTEGER_MAX)) or -int(number.as_tuple().exponent) > DECIMAL_PLACES_MAX:
        limits = f"at most {SAFE_INTEGER_MAX}, with at most {DECIMAL_PLACES_MAX} decimal places"
        raise ValueError(f"{text} is out of range: {limits}")
    return number


class _NodeReader:
    """Turns YAML nodes into values and remembers their lines. Raises PolicyInvalidError for an ambiguous one."""

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
        members: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise _invalid(self._name, line, "a key must be text")
            if key_node.tag != _TAG + "str":
                what = f"some YAML readers do not take the key {key_node.value} for text"
                raise _invalid(self._name, line, what, f'quote it: "{key_node.value}"')
            key = str(key_node.value)
            if key in members:
                first = self.lines[(*path, key)]
                raise _invalid(self._name, line, f"duplicate key {key} (first in line {first})", "keep one")
            self.lines[(*path, key)] = line
            members[key] = self.read(value_node, (*path, key))
        return members

    def _scalar(self, node: Node, path: Place) -> object:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind in {"str", "timestamp"}:
            return text
        if kind == "null":
            return None
        if kind == "bool":
            if text not in {"true", "false"}:
                what = f"YAML readers disagree whether {text} is a boolean"
                raise self._invalid(path, what, "write true or false, or quote it")
            return text == "true"
        if kind == "int":
            return self._integer(text, path)
        if kind == "float":
            return self._decimal(text, path)
        raise self._invalid(path, f"YAML readers disagree about the type of {text}", _QUOTE_IT.format(text))

    def _integer(self, text: str, path: Place) -> int:
        if not _INTEGER.fullmatch(text):
            raise self._invalid(path, f"YAML readers disagree about the number {text}", _QUOTE_IT.format(text))
        if len(text) > len(str(-SAFE_INTEGER_MAX)) or abs(int(text)) > SAFE_INTEGER_MAX:
            what = f"{text} is beyond {SAFE_INTEGER_MAX}, the largest whole number that JSON holds exactly"
            raise self._invalid(path, what)
        return int(text)

    def _decimal(self, text: str, path: Place) -> Decimal:
        try:
            return exact_decimal(text)
        except ValueError as error:
            raise self._invalid(path, str(error), _QUOTE_IT.format(text)) from None

    def _invalid(self, path: Place, what: str, remedy: str = "") -> PolicyInvalidError:
        return _invalid(self._name, self.lines[path], what, remedy)


def _invalid(name: str, line: int, what: str, remedy: str = "") -> PolicyInvalidError:
    return PolicyInvalidError([Diagnostic(f"{name}:{line}", what, remedy)])
