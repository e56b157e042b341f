from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from placet.actions.params_schema import FORMATS, KEYWORDS, schema_diagnostics
from placet.actions.params_validator import SchemaError, params_violations, require_usable
from placet.kernel.exact_json import exact_json
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from pathlib import Path

ENFORCED: dict[str, tuple[Any, Any]] = {
    "additionalProperties": ({"properties": {}, "additionalProperties": False}, {"a": 1}),
    "allOf": ({"properties": {"a": {"allOf": [{"minimum": 2}]}}}, {"a": 1}),
    "anyOf": ({"properties": {"a": {"anyOf": [{"type": "string"}]}}}, {"a": 1}),
    "const": ({"properties": {"a": {"const": 2}}}, {"a": 1}),
    "contains": ({"properties": {"a": {"contains": {"type": "string"}}}}, {"a": [1]}),
    "else": ({"properties": {"a": {"if": {"type": "string"}, "else": {"minimum": 2}}}}, {"a": 1}),
    "enum": ({"properties": {"a": {"enum": [2, 3]}}}, {"a": 1}),
    "exclusiveMaximum": ({"properties": {"a": {"exclusiveMaximum": 1}}}, {"a": 1}),
    "exclusiveMinimum": ({"properties": {"a": {"exclusiveMinimum": 1}}}, {"a": 1}),
    "format": ({"properties": {"a": {"format": "email"}}}, {"a": "nobody"}),
    "if": ({"properties": {"a": {"if": {"type": "integer"}, "then": {"minimum": 2}}}}, {"a": 1}),
    "items": ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": [1]}),
    "maxItems": ({"properties": {"a": {"maxItems": 1}}}, {"a": [1, 2]}),
    "maxLength": ({"properties": {"a": {"maxLength": 1}}}, {"a": "ab"}),
    "maxProperties": ({"maxProperties": 0}, {"a": 1}),
    "maximum": ({"properties": {"a": {"maximum": 0}}}, {"a": 1}),
    "minItems": ({"properties": {"a": {"minItems": 1}}}, {"a": []}),
    "minLength": ({"properties": {"a": {"minLength": 1}}}, {"a": ""}),
    "minProperties": ({"minProperties": 1}, {}),
    "minimum": ({"properties": {"a": {"minimum": 2}}}, {"a": 1}),
    "multipleOf": ({"properties": {"a": {"multipleOf": 2}}}, {"a": 1}),
    "not": ({"properties": {"a": {"not": {"type": "integer"}}}}, {"a": 1}),
    "oneOf": ({"properties": {"a": {"oneOf": [{"type": "integer"}, {"minimum": 0}]}}}, {"a": 1}),
    "pattern": ({"properties": {"a": {"pattern": "^x"}}}, {"a": "y"}),
    "patternProperties": ({"patternProperties": {"^a": {"type": "string"}}}, {"a": 1}),
    "properties": ({"properties": {"a": {"type": "string"}}}, {"a": 1}),
    "propertyNames": ({"propertyNames": {"maxLength": 1}}, {"ab": 1}),
    "required": ({"required": ["a"]}, {}),
    "then": ({"properties": {"a": {"if": {"type": "integer"}, "then": {"minimum": 2}}}}, {"a": 1}),
    "type": ({"properties": {"a": {"type": "string"}}}, {"a": 1}),
    "uniqueItems": ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 1]}),
}
"""For each keyword a schema and params that break it."""
SAYS_NOTHING = {"$comment", "$schema", "default", "description", "examples", "title"}


def faults(schema: Any) -> list[tuple[str, str, str]]:
    return [(fault.place, fault.what, fault.remedy) for fault in schema_diagnostics(schema, ("s",))]


def test_every_keyword_that_is_taken_is_enforced() -> None:
    assert set(ENFORCED) | SAYS_NOTHING == KEYWORDS
    for schema, params in ENFORCED.values():
        assert params_violations(exact_json(schema), json.dumps(params).encode()) != []


def test_every_keyword_that_is_taken_is_enforced_by_opa(opa: Path) -> None:
    """OPA checks the params of an input without the fact, as in tests."""
    query = "{name: json.match_schema(case[1], case[0])[0] | some name, case in input}"
    ended = run(opa, ["eval", "--format", "raw", "--stdin-input", query], stdin=json.dumps(ENFORCED).encode())
    assert json.loads(ended.stdout) == dict.fromkeys(ENFORCED, False)


def test_every_format_that_is_taken_is_checked_by_opa(opa: Path) -> None:
    query = r'{f: json.match_schema({"a": "{{[\\"}, {"properties": {"a": {"format": f}}})[0] | some f in input}'
    ended = run(opa, ["eval", "--format", "raw", "--stdin-input", query], stdin=json.dumps(sorted(FORMATS)).encode())
    assert json.loads(ended.stdout) == dict.fromkeys(FORMATS, False)


@pytest.mark.parametrize("keyword", sorted(ENFORCED))
def test_what_is_enforced_is_taken(keyword: str) -> None:
    assert faults(ENFORCED[keyword][0]) == []


def test_annotations_and_booleans_are_taken() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "t",
        "type": "object",
        "additionalProperties": {"type": ["string", "null"], "default": None, "examples": ["x"], "$comment": "c"},
        "properties": {"share": {"multipleOf": Decimal("0.01"), "description": "d"}},
    }
    assert faults(schema) == []


@pytest.mark.parametrize(
    ("schema", "place", "what", "remedy"),
    [
        (True, "s", "must be a JSON Schema, which is a mapping", ""),
        ({"type": "array"}, "s.type", 'params are always an object, so the outermost type is "object"', ""),
        ({"requird": []}, "s.requird", "is not a keyword that Placet enforces", "did you mean required?"),
        ({"$ref": "#"}, 's["$ref"]', "$ref is not taken", "write the schema out in its place"),
        ({"$defs": {}}, 's["$defs"]', "$defs is not taken", "write the schema out in its place"),
        (
            {"properties": {"a": {"type": "strng"}}},
            "s.properties.a.type",
            "'strng' is not a JSON type",
            "did you mean string?",
        ),
        (
            {"properties": {"a": {"type": ["string", 3]}}},
            "s.properties.a.type",
            "3 is not a JSON type",
            "known: array, boolean, integer, null, number, object, string",
        ),
        (
            {"properties": {"a": {"type": []}}},
            "s.properties.a.type",
            "[] is not a JSON type",
            "known: array, boolean, integer, null, number, object, string",
        ),
        ({"properties": []}, "s.properties", "must be a mapping of schemas", ""),
        ({"properties": {"a": True}}, "s.properties.a", "must be a JSON Schema, which is a mapping", ""),
        ({"required": "a"}, "s.required", "must be a list of names", ""),
        ({"required": [1]}, "s.required", "must be a list of names", ""),
        ({"allOf": []}, "s.allOf", "must be a list of at least one schema", ""),
        ({"allOf": [{}, 1]}, "s.allOf[1]", "must be a JSON Schema, which is a mapping", ""),
        ({"enum": []}, "s.enum", "must be a list of at least one value", ""),
        ({"minimum": "1"}, "s.minimum", "must be a number", ""),
        ({"minimum": True}, "s.minimum", "must be a number", ""),
        ({"multipleOf": 0}, "s.multipleOf", "must be a number above 0", ""),
        ({"minLength": -1}, "s.minLength", "must be a whole number, 0 or more", ""),
        ({"minLength": Decimal("1.5")}, "s.minLength", "must be a whole number, 0 or more", ""),
        ({"uniqueItems": 1}, "s.uniqueItems", "must be true or false", ""),
        ({"pattern": 1}, "s.pattern", "must be text", ""),
        ({"format": "mail"}, "s.format", "'mail' is not a format that Placet checks", "did you mean email?"),
        ({"additionalProperties": 1}, "s.additionalProperties", "must be a JSON Schema, which is a mapping", ""),
    ],
)
def test_what_opa_would_ignore_or_not_take_is_refused(schema: Any, place: str, what: str, remedy: str) -> None:
    assert faults(schema) == [(place, what, remedy)]


@pytest.mark.parametrize(
    "place",
    [
        *("properties.a", "patternProperties.a", "not", "if", "then", "else", "items", "contains", "propertyNames"),
        *("additionalProperties", "allOf[0]", "anyOf[0]", "oneOf[0]", "not.not"),
    ],
)
@pytest.mark.parametrize(
    "draft", ["https://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-07/schema"]
)
def test_the_dialect_is_named_only_at_the_outermost_level(place: str, draft: str) -> None:
    schema: Any = {"$schema": draft, "exclusiveMaximum": 100}
    for name in reversed(place.split(".")):
        schema = {name.removesuffix("[0]"): [schema] if name.endswith("[0]") else schema}
    remedy = "write $schema only at the outermost level"
    assert faults(schema) == [(f's.{place}["$schema"]', "$schema is not taken here", remedy)]
    with pytest.raises(SchemaError, match="is not taken here"):
        require_usable(exact_json(schema))


def test_a_param_may_have_the_name_of_a_keyword() -> None:
    name = {"$schema": {"enum": [{"$schema": "x"}], "default": {"$schema": "x"}, "examples": [{"$schema": "x"}]}}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {**name, "const": {"const": {"$schema": "x"}}},
        "patternProperties": name,
        "dependentRequired": {"$schema": ["a"]},
        "dependentSchemas": name,
    }
    assert faults(schema) == []
    require_usable(exact_json(schema))
    with pytest.raises(SchemaError, match="is not taken here"):
        require_usable(exact_json({"properties": {"const": {"$schema": "http://json-schema.org/draft-07/schema#"}}}))


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://json-schema.org/draft-03/schema#", ", which is draft 3,"),
        ("http://json-schema.org/draft-04/schema#", ", which is draft 4,"),
        ("http://json-schema.org/draft-06/schema", ", which is draft 6,"),
        ("https://json-schema.org/draft/2019-09/schema", ", which is draft 2019-09,"),
        ("https://json-schema.org/draft/next/schema", ""),
    ],
)
def test_another_draft_is_refused_by_name(uri: str, name: str) -> None:
    with pytest.raises(SchemaError) as error:
        require_usable(exact_json({"$schema": uri}))
    assert str(error.value) == f'"{uri}"{name} is not a dialect that Placet checks'
    assert error.value.place == ("$schema",)
    for accepted in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"):
        assert accepted in error.value.remedy
        require_usable(exact_json({"$schema": accepted}))


def test_nesting_is_bounded() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"not": schema}
    assert [what for _, what, _ in faults(schema)] == ["is nested deeper than params may be (32 levels)"]


@pytest.mark.parametrize("keyword", ["prefixItems", "dependentRequired", "dependentSchemas", "unevaluatedItems"])
def test_the_keywords_of_2020_12_need_that_dialect(keyword: str) -> None:
    value = {"prefixItems": [{}], "dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": {}}}.get(keyword, False)
    [(place, what, remedy)] = faults({keyword: value})
    assert (place, what) == (f"s.{keyword}", "is a keyword of draft 2020-12")
    assert "$schema" in remedy
    assert faults({"$schema": "https://json-schema.org/draft/2020-12/schema", keyword: value}) == []
    assert faults({"$schema": "https://json-schema.org/draft/2020-12/schema", keyword: 7}) != []
