"""Read YAML and JSON strictly: every accepted text has exactly one meaning.

A text that two YAML readers could understand differently is refused: duplicate keys, `yes` and `on`, numbers with
underscores, leading zeros or colons, anchors and tags. Decimal numbers become `decimal.Decimal`, never floats. A
`Document` knows the line of each value, so that later checks can name it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.files.yaml_values import DEPTH_MAX, YamlValues, exact_decimal

if TYPE_CHECKING:
    from placet.kernel.diagnostics import Place


@dataclass(frozen=True)
class Document:
    """A value read from a file."""

    name: str  # of the file, for error messages
    value: Any
    text: str = ""  # of a YAML document; empty for JSON, whose parts have no lines

    @cached_property
    def lines(self) -> dict[Place, int]:
        """Line of each part, from 1. Found when an error needs it: most files have none."""
        lines: dict[Place, int] = {}
        if self.text:
            YamlValues(self.name, self.text, lines).read()
        return lines

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
        return Document(name, YamlValues(name, text).read(), text)
    except UnicodeDecodeError as error:
        raise _invalid(name, content[: error.start].count(b"\n") + 1, "is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _invalid(name, line, f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _invalid(name, 1, f"is not YAML: {error}".replace("\n", " ")) from error


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


def _invalid(name: str, line: int, what: str, remedy: str = "") -> PolicyInvalidError:
    return PolicyInvalidError([Diagnostic(f"{name}:{line}", what, remedy)])
