"""Checks that a tool's `params_schema` uses only keywords that are enforced.

A validator ignores keywords that it does not know, so a misspelt one would leave a parameter unchecked. A `$ref` can
recurse without end. So only a closed list of keywords is accepted. `placet.actions.params_validator` then compiles the
schema, which finds what this list does not: a pattern that is not a regular expression, for example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from placet.actions.params_validator import is_draft_2020_12
from placet.kernel.diagnostics import DocumentDiagnostic, Place, did_you_mean
from placet.kernel.limits import PARAMS_DEPTH_MAX


class Depth(NamedTuple):
    """How deep a subschema is, and whether the schema is of draft 2020-12."""

    levels: int
    is_draft_2020_12: bool

    def deeper(self) -> Depth:
        """Return the depth of the subschemas."""
        return Depth(self.levels + 1, self.is_draft_2020_12)


Check = Callable[[object, Place, Depth], Iterator[DocumentDiagnostic]]


TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
FORMATS: Final = frozenset(
    {
        *("date", "date-time", "email", "hostname", "idn-email", "ipv4", "ipv6", "iri", "iri-reference"),
        *("json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference", "uri-template", "uuid"),
    }
)
"""Formats that are checked. For any other format a validator would accept every value."""


def schema_diagnostics(schema: object, path: Place) -> Iterator[DocumentDiagnostic]:
    """Yield what is wrong with the JSON Schema of a tool's params. Params are always an object."""
    if isinstance(schema, Mapping) and schema.get("type", "object") != "object":
        yield DocumentDiagnostic((*path, "type"), 'params are always an object, so the outermost type is "object"')
        return
    is_newer = isinstance(schema, Mapping) and is_draft_2020_12(schema.get("$schema"))
    yield from _subschema(schema, path, Depth(0, is_newer))


def _subschema(schema: object, path: Place, depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(schema, Mapping):
        yield DocumentDiagnostic(path, "must be a JSON Schema, which is a mapping")
        return
    if depth.levels > PARAMS_DEPTH_MAX:
        yield DocumentDiagnostic(path, f"is nested deeper than params may be ({PARAMS_DEPTH_MAX} levels)")
        return
    inner = depth.deeper()
    for keyword, value in schema.items():
        place = (*path, keyword)
        if keyword in _CHECKS:
            yield from _CHECKS[keyword](value, place, inner)
        elif keyword in _CHECKS_2020_12 and depth.is_draft_2020_12:
            yield from _CHECKS_2020_12[keyword](value, place, inner)
        elif keyword in _CHECKS_2020_12:
            remedy = 'add "$schema": "https://json-schema.org/draft/2020-12/schema" to the outermost schema'
            yield DocumentDiagnostic(place, "is a keyword of draft 2020-12", remedy)
        elif keyword in {"$ref", "$defs", "definitions"}:
            yield DocumentDiagnostic(place, f"{keyword} is not taken", "write the schema out in its place")
        else:
            yield DocumentDiagnostic(
                place, "is not a keyword that Placet enforces", did_you_mean(str(keyword), _CHECKS)
            )


def _schema_or_bool(value: object, path: Place, depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, bool):
        yield from _subschema(value, path, depth)


def _schemas(value: object, path: Place, depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, list) or not value:
        yield DocumentDiagnostic(path, "must be a list of at least one schema")
        return
    for index, schema in enumerate(value):
        yield from _subschema(schema, (*path, index), depth)


def _schema_map(value: object, path: Place, depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, Mapping):
        yield DocumentDiagnostic(path, "must be a mapping of schemas")
        return
    for name, schema in value.items():
        yield from _subschema(schema, (*path, name), depth)


def _type(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    names = value if isinstance(value, list) and value else [value]
    for name in names:
        if not isinstance(name, str) or name not in TYPES:
            yield DocumentDiagnostic(path, f"{name!r} is not a JSON type", did_you_mean(str(name), TYPES))


def _number(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        yield DocumentDiagnostic(path, "must be a number")


def _positive(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value <= 0:
        yield DocumentDiagnostic(path, "must be a number above 0")


def _count(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        yield DocumentDiagnostic(path, "must be a whole number, 0 or more")


def _bool(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, bool):
        yield DocumentDiagnostic(path, "must be true or false")


def _text(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, str):
        yield DocumentDiagnostic(path, "must be text")


def _dialect(value: object, path: Place, depth: Depth) -> Iterator[DocumentDiagnostic]:
    if depth.levels > 1:  # a validator would read this part in that draft, and ignore the keywords of others
        yield DocumentDiagnostic(path, "$schema is not taken here", "write $schema only at the outermost level")
    else:
        yield from _text(value, path, depth)


def _names(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        yield DocumentDiagnostic(path, "must be a list of names")


def _name_lists(value: object, path: Place, depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, Mapping):
        yield DocumentDiagnostic(path, "must be a mapping of lists of names")
        return
    for name, names in value.items():
        yield from _names(names, (*path, name), depth)


def _values(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, list) or not value:
        yield DocumentDiagnostic(path, "must be a list of at least one value")


def _format(value: object, path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    if not isinstance(value, str) or value not in FORMATS:
        yield DocumentDiagnostic(
            path, f"{value!r} is not a format that Placet checks", did_you_mean(str(value), FORMATS)
        )


def _anything(_value: object, _path: Place, _depth: Depth) -> Iterator[DocumentDiagnostic]:
    return iter(())


_CHECKS: Final[Mapping[str, Check]] = {
    **dict.fromkeys(("contains", "else", "if", "items", "not", "propertyNames", "then"), _subschema),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _schemas),
    **dict.fromkeys(("patternProperties", "properties"), _schema_map),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"), _number),
    **dict.fromkeys(("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"), _count),
    **dict.fromkeys(("$comment", "description", "pattern", "title"), _text),
    **dict.fromkeys(("const", "default", "examples"), _anything),
    "$schema": _dialect,
    "additionalProperties": _schema_or_bool,
    "enum": _values,
    "format": _format,
    "multipleOf": _positive,
    "required": _names,
    "type": _type,
    "uniqueItems": _bool,
}
_CHECKS_2020_12: Final[Mapping[str, Check]] = {
    **dict.fromkeys(("maxContains", "minContains"), _count),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), _schema_or_bool),
    "dependentRequired": _name_lists,
    "dependentSchemas": _schema_map,
    "prefixItems": _schemas,
}
"""Keywords that only draft 2020-12 has."""
KEYWORDS: Final = frozenset(_CHECKS)
"""Keywords that a params_schema may use."""
