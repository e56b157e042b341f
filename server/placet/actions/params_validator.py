"""Validate the params of an action against the JSON Schema of its tool.

A schema is of draft 7, or of draft 2020-12 when its ``$schema`` says so. `format` is asserted. Patterns run in time
that is linear in the text: those with look-around or back-references are refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import orjson

if TYPE_CHECKING:
    from placet.kernel.diagnostics import Place

VIOLATIONS_MAX: Final = 10
"""How many violations of one schema are reported."""
TEXT_CHARS_MAX: Final = 200
"""Longest path and problem of a violation. The caller chooses the names of members, so they can be of any length."""
COMPILED_MAX: Final = 4_096
"""How many compiled schemas are kept. Equal schemas are compiled once, whichever tool and tenant they are of."""
PATTERN_BYTES_MAX: Final = 1 << 20
"""Largest compiled pattern."""
DRAFT_2020_12: Final = re.compile(r"https?://json-schema\.org/draft/2020-12/schema#?")
DRAFT_7: Final = re.compile(r"https?://json-schema\.org/draft-07/schema#?")
_OTHER_DRAFT: Final = re.compile(
    r"https?://json-schema\.org/draft[-/](?:0?(?P<number>[3-6])|(?P<date>2019-09))/schema#?"
)
_DIALECT_REMEDY: Final = (
    'write "http://json-schema.org/draft-07/schema#" or "https://json-schema.org/draft/2020-12/schema", and check that '
    "its keywords mean the same there"
)
_DATA: Final = frozenset({"const", "default", "dependentRequired", "enum", "examples"})
"""Keywords whose values hold no schemas."""
_MAPS: Final = frozenset({"dependentSchemas", "patternProperties", "properties"})
"""Keywords whose values are schemas by name."""
_PATTERN: Final = "is not a regular expression of ECMA-262 that runs in linear time and compiles to at most 1 MiB"
_PATTERN_REMEDY: Final = (
    "write it without look-around and back-references, with [Uu][Ss][Dd] for (?i)usd, ^ and $ for \\A and \\z, "
    "[A-Za-z] for [[:alpha:]], \\p{L} for \\pL, and (?<n>...) for (?P<n>...)"
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HIDDEN: Final = "the value"
"""In texts, in place of the caller's value, which may be personal."""


class SchemaError(Exception):
    """A schema cannot be used: `what` is wrong at the `place` in it, and `remedy` is what to do."""

    def __init__(self, what: str, place: Place = (), remedy: str = "write a JSON Schema of draft 7 or 2020-12") -> None:
        self.what = what
        self.place = place
        self.remedy = remedy
        super().__init__(what)


def params_violations(schema: bytes, params: bytes) -> list[dict[str, str]]:
    """Return how the params, a JSON object, violate the schema: at most VIOLATIONS_MAX objects of path and problem.

    Raises SchemaError for a schema that `require_usable` refuses.
    """
    errors = islice(_validator(schema).iter_errors(orjson.loads(params)), VIOLATIONS_MAX)
    return [{"path": _path(error)[:TEXT_CHARS_MAX], "problem": error.message[:TEXT_CHARS_MAX]} for error in errors]


def require_usable(schema: bytes) -> None:
    """Raise SchemaError when the schema cannot be compiled."""
    _validator(schema)


def is_draft_2020_12(uri: object) -> bool:
    """Return whether a value of ``$schema`` names draft 2020-12."""
    return isinstance(uri, str) and DRAFT_2020_12.fullmatch(uri) is not None


@lru_cache(maxsize=COMPILED_MAX)
def _validator(schema: bytes) -> jsonschema_rs.Draft7Validator | jsonschema_rs.Draft202012Validator:
    document = orjson.loads(schema)
    uri = document.pop("$schema", None)
    if uri is not None and not (is_draft_2020_12(uri) or DRAFT_7.fullmatch(uri)):
        other = _OTHER_DRAFT.fullmatch(uri)
        name = f", which is draft {other['number'] or other['date']}," if other else ""
        raise SchemaError(f'"{uri}"{name} is not a dialect that Placet checks', ("$schema",), _DIALECT_REMEDY)
    _refuse_nested_dialects(document, ())
    draft = jsonschema_rs.Draft202012Validator if is_draft_2020_12(uri) else jsonschema_rs.Draft7Validator
    try:
        return draft(
            document,
            formats={"uuid": lambda text: _UUID.fullmatch(text) is not None},
            validate_formats=True,
            ignore_unknown_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX),
            mask=_HIDDEN,
            offline=True,
        )
    except (jsonschema_rs.ValidationError, ValueError) as error:
        place = tuple(getattr(error, "instance_path", ()))  # of the schema, which is the instance of its meta-schema
        if getattr(getattr(error, "kind", None), "format", "") == "regex":
            raise SchemaError(_PATTERN, place, _PATTERN_REMEDY) from error
        raise SchemaError(str(getattr(error, "message", error)).partition("\n")[0], place) from error


def _refuse_nested_dialects(schema: object, place: Place) -> None:
    """Raise SchemaError for a ``$schema`` in a schema: the library would read that part in the draft it names."""
    if isinstance(schema, dict) and "$schema" in schema:
        raise SchemaError("$schema is not taken here", (*place, "$schema"), "write $schema only at the outermost level")
    members = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for key, member in members:
        if key in _MAPS and isinstance(member, dict):
            for name, subschema in member.items():
                _refuse_nested_dialects(subschema, (*place, key, name))
        elif key not in _DATA:
            _refuse_nested_dialects(member, (*place, key))


def _path(error: Any) -> str:  # noqa: ANN401 - the library's type of errors has no static attributes
    return ".".join(("params", *map(str, error.instance_path)))
