"""Texts of params are canonicalised as the strict parser does it, however they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from placet.actions import canonical_json
from placet.actions.canonical_json import NotCanonicalError, canonical, canonical_text, parse_object

BLANKS = st.text(" \t\r\n", max_size=2)
CHARS = st.sampled_from([*'abc /"\\', "\n", "\x1f", "\x7f", "é", "€", "\ufb33", "𐀀"])
WAYS = st.sampled_from(["plain", "escaped", "slash"])
STRINGS = st.lists(st.tuples(CHARS, WAYS), max_size=3).map(lambda chars: '"' + "".join(map(spelt, chars)) + '"')
KEYS = STRINGS | st.sampled_from(['"a"', '"\\u0061"', '"b"'])
NUMBERS = st.integers(-(2**54), 2**54).map(str) | st.sampled_from(
    ["-0", "0.0", "1E8", "1e22", "45.50", "1e400", "9" * 25, "NaN", "-Infinity", "01", "1."]
)
LITERALS = st.sampled_from(["true", "false", "null", '"\\ud800"', "nul"])


def spelt(character_and_way: tuple[str, str]) -> str:
    """Return one character as it may stand in a JSON string."""
    character, way = character_and_way
    if way == "escaped":
        units = character.encode("utf-16-be")
        return "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2))
    if way == "slash" and character == "/":
        return "\\/"
    return json.dumps(character, ensure_ascii=False)[1:-1]


def listed(items: list[str]) -> str:
    return "[" + ",".join(items) + "]"


def obj(members: list[tuple[str, str, str]]) -> str:
    """Return an object with blanks, and possibly with duplicate keys."""
    return "{" + ",".join(f"{blank}{key}:{blank}{value}" for blank, key, value in members) + "}"


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(BLANKS, KEYS, values), max_size=3).map(obj)


VALUES = st.recursive(
    NUMBERS | STRINGS | LITERALS,
    lambda inner: st.lists(inner, max_size=3).map(listed) | objects(inner),
    max_leaves=6,
)


def outcome(work: Any, text: str) -> object:
    try:
        return work(text)
    except NotCanonicalError as error:
        return error.place, error.what


@given(objects(VALUES))
@example('{"a":1,"a":1E8}')  # as many characters as {"a":100000000}
@example('{"a": 1, "a": 2}')
@example('{"a":"  ","b":1}')
@example('{"a":1,"\\u0061":1}')
@example('{"a":{"b":1,"b":22},"c":1e22}')
@example('[{"a":1}]')
@settings(max_examples=500, deadline=None)
def test_every_spelling_gives_what_the_strict_parser_gives(text: str) -> None:
    assert outcome(canonical_text, text) == outcome(lambda given: canonical(parse_object(given)), text)


@pytest.mark.parametrize(
    "text",
    [
        '{"amount":45,"charge":"ch_1042"}',
        '{"charge": "ch_1042", "note": "two  words\\n", "items": [1, {"a": null}], "of": true}',
        '{\n\t"b": "é€",\r\n\t"a": -3\n}',
    ],
)
def test_ordinary_texts_do_without_the_strict_parser(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = canonical(parse_object(text))
    monkeypatch.setattr(canonical_json, "parse_object", None)
    assert canonical_text(text) == expected


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '{"a":{"b":"x","b":"y"}}', '{"a":1,"a":1E8}', '{"a" :1,"\\u0061":2}']
)
def test_duplicates_are_never_taken_for_ordinary(text: str) -> None:
    with pytest.raises(NotCanonicalError, match="same key twice"):
        canonical_text(text)
