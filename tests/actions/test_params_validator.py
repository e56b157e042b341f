"""Params against a tool's JSON Schema: what is refused, where, and what differs from OPA's ``json.match_schema``."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from placet.actions.params_schema import FORMATS
from placet.actions.params_validator import SchemaError, params_violations, require_usable
from placet.kernel.exact_json import exact_json

NEWER = "https://json-schema.org/draft/2020-12/schema"
SCHEMA = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^c_[0-9]+$"},
        "fields": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}},
    },
}


def violations(schema: Any, params: Any) -> list[dict[str, str]]:
    raw = params if isinstance(params, bytes) else json.dumps(params).encode()
    return params_violations(exact_json(schema), raw)


def matches(value_schema: Any, value: Any, **outer: Any) -> bool:
    return not violations({"properties": {"a": value_schema}, **outer}, {"a": value})


@pytest.mark.parametrize(
    ("params", "path", "problem"),
    [
        ({}, "params", "id"),
        ({"id": "c_1", "x": 1}, "params", "x"),
        ({"id": 7}, "params.id", "string"),
        ({"id": "c_1; DROP TABLE"}, "params.id", "^c_[0-9]+$"),
        ({"id": "c_1", "fields": {"age": -1}}, "params.fields.age", "minimum"),
        ({"id": "c_1", "fields": {"age": "7"}}, "params.fields.age", "integer"),
    ],
)
def test_a_violation_names_its_path_and_not_the_value(params: Any, path: str, problem: str) -> None:
    [violation] = violations(SCHEMA, params)
    assert violation["path"] == path
    assert problem in violation["problem"]
    assert "DROP" not in violation["problem"]


def test_params_that_match_have_no_violations() -> None:
    assert violations(SCHEMA, {"id": "c_1", "fields": {"age": 7}}) == []


def test_violations_are_bounded_in_number_and_length() -> None:
    many = {"id": "c_1", **{f"{'n' * 500}{number}": {"deep": 1} for number in range(50)}}
    schema = {**SCHEMA, "additionalProperties": {"type": "string"}}
    found = violations(schema, many)
    assert len(found) == 10
    assert max(len(text) for violation in found for text in violation.values()) == 200


@pytest.mark.parametrize(
    "uri", [None, "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft-07/schema", NEWER]
)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_asserted_in_every_dialect(name: str, uri: str | None) -> None:
    outer = {"$schema": uri} if uri else {}
    assert not matches({"format": name}, '{{["', **outer)
    assert matches({"format": name}, 7, **outer)


@pytest.mark.parametrize(
    ("schema", "value", "good"),
    [
        ({"type": "integer"}, 1.0, True),
        ({"type": "integer"}, 1.5, False),
        ({"type": "integer"}, 2**53 - 1, True),
        ({"type": "integer"}, 1e30, True),
        ({"maximum": 9007199254740991}, 9007199254740991, True),
        ({"multipleOf": Decimal("0.01")}, 45.15, True),
        ({"multipleOf": Decimal("0.01")}, 45.151, False),
        ({"const": 1}, 1.0, True),
        ({"uniqueItems": True}, [1, 1.0], False),
        ({"type": "number"}, True, False),
        ({"maxLength": 1}, "👍", True),
        ({"maxLength": 1}, "e\u0301", False),
        ({"format": "uuid"}, "123E4567-e89b-12d3-a456-426614174000", True),
        ({"format": "email"}, "a@b.example", True),
        ({"pattern": r"^\d+$"}, "٣", False),
        ({"pattern": r"^\w+$"}, "é", False),
        ({"pattern": "^a$"}, "a\n", False),
        ({"pattern": "^a.b$"}, "a\u2028b", False),
        ({"pattern": r"^\S+$"}, "a\u00a0", False),
    ],
)
def test_numbers_lengths_and_patterns(schema: Any, value: Any, *, good: bool) -> None:
    """All but the last two as OPA has them. There patterns are read as ECMA-262 reads them, which takes fewer texts."""
    assert matches(schema, value) is good


def test_the_keywords_of_2020_12_are_enforced_in_that_dialect() -> None:
    items = {"prefixItems": [{"type": "string"}], "unevaluatedItems": False}
    assert not matches(items, [1], **{"$schema": NEWER})
    assert not matches(items, ["x", 2], **{"$schema": NEWER})
    assert matches(items, ["x"], **{"$schema": NEWER})
    assert violations({"$schema": NEWER, "dependentRequired": {"a": ["b"]}}, {"a": 1}) != []


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a": {"pattern": "("}}}, ("properties", "a", "pattern")),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, ("properties", "a", "pattern")),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, ("properties", "a", "pattern")),
        ({"patternProperties": {"(": {}}}, ("patternProperties",)),
        ({"properties": {"a": {"pattern": "(a{1,1000}){1,1000}"}}}, ("properties", "a", "pattern")),
        ({"$schema": "https://example.com/mine"}, ("$schema",)),
    ],
)
def test_a_schema_that_cannot_be_compiled_is_refused_with_the_place(schema: Any, place: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError) as refused:
        require_usable(exact_json(schema))
    assert refused.value.place == place
    assert refused.value.what


@pytest.mark.parametrize(
    "pattern", ["(?i)usd", r"\Ausd\z", "[[:alpha:]]", r"\pL", "(?P<n>a)", "(?=a)", r"(a)\1", "(a{1,1000}){1,1000}"]
)
def test_the_error_of_a_pattern_says_what_to_write(pattern: str) -> None:
    schemas: list[Any] = [{"properties": {"a": {"pattern": pattern}}}, {"patternProperties": {pattern: {}}}]
    for schema in schemas:
        with pytest.raises(SchemaError) as refused:
            require_usable(exact_json(schema))
        assert refused.value.what.startswith("is not a regular expression of ECMA-262 that runs in linear time")
        assert "[Uu][Ss][Dd] for (?i)usd, ^ and $ for \\A and \\z" in refused.value.remedy


def test_no_pattern_backtracks() -> None:
    began = time.perf_counter()
    assert not matches({"pattern": "^(a|aa|a*)+$"}, "a" * 100_000 + "b")
    assert time.perf_counter() - began < 1
