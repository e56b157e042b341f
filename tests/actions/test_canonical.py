"""Params are parsed strictly and canonicalised by RFC 8785."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from placet.actions.canonical_json import NotCanonicalError, canonical, digest, parse_object
from placet.kernel.limits import PARAMS_BYTES_MAX, PARAMS_DEPTH_MAX, SAFE_INTEGER_MAX

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)
JSON_OBJECTS = st.dictionaries(st.text(), JSON_VALUES, max_size=6)

# RFC 8785, section 3.2.2 and 3.2.3.
RFC_SAMPLE = r"""{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"""
RFC_SAMPLE_CANONICAL = (
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
)
RFC_KEYS = r"""{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
"\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"""
RFC_KEYS_ORDER = ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]
# RFC 8785, appendix B.
RFC_NUMBERS = [
    (0.0, "0"),
    (-0.0, "0"),
    (5e-324, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9007199254740992.0, "9007199254740992"),
    (295147905179352830000.0, "295147905179352830000"),
    (1e21, "1e+21"),
    (999999999999999900000.0, "999999999999999900000"),
    (1e-6, "0.000001"),
    (1e-7, "1e-7"),
    (333333333.3333333, "333333333.3333333"),
]


def test_rfc_sample() -> None:
    assert canonical(parse_object(RFC_SAMPLE)).decode() == RFC_SAMPLE_CANONICAL


def test_rfc_key_order() -> None:
    assert list(json.loads(canonical(parse_object(RFC_KEYS)))) == RFC_KEYS_ORDER


@pytest.mark.parametrize(("number", "text"), RFC_NUMBERS)
def test_rfc_numbers(number: float, text: str) -> None:
    assert canonical({"n": number}) == b'{"n":%b}' % text.encode()


@given(JSON_OBJECTS)
def test_same_bytes_as_the_reference(value: dict[str, Any]) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(JSON_OBJECTS)
def test_the_way_a_text_is_written_does_not_matter(value: dict[str, Any]) -> None:
    compact = json.dumps(value, ensure_ascii=False)
    spread = json.dumps(dict(reversed(value.items())), ensure_ascii=True, indent=3)
    assert canonical(parse_object(compact)) == canonical(parse_object(spread))


@given(st.text())
def test_any_text_is_an_object_or_refused(text: str) -> None:
    refused = ""
    value: Any = None
    try:
        value = parse_object(text)
    except NotCanonicalError as error:
        refused = error.what
    assert bool(refused) != isinstance(value, dict)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "", "is not JSON"),
        ("[]", "", "must be a JSON object, not an array"),
        ('"x"', "", "not a string"),
        ("1", "", "not a number"),
        ("null", "", "not null"),
        ("true", "", "not a boolean"),
        ('{"a":1,}', "", "is not JSON"),
        ('{"a":1} x', "", "is not JSON"),
        ('{"a":NaN}', "/a", "NaN is not JSON"),
        ('{"a":{"b":[1,-Infinity]}}', "/a/b/1", "-Infinity is not JSON"),
        ('{"a":1e400}', "/a", "out of the range of a double"),
        ('{"a":{"b":1,"b":2}}', "/a", "same key twice"),
        ('{"amount":1,"amount":2}', "", "same key twice"),
        ('{"a":[0,{"x/y":9007199254740992}]}', "/a/1/x~1y", "integer beyond"),
        ('{"a":-9007199254740992}', "/a", "integer beyond"),
        ('{"a":' + "9" * 5000 + "}", "", "integer beyond"),
        ('{"a":"\\ud800"}', "/a", "lone surrogate"),
        ('{"\\udfff":1}', "", "lone surrogate"),
    ],
)
def test_refused_with_the_place(text: str, place: str, what: str) -> None:
    with pytest.raises(NotCanonicalError) as refused:
        canonical(parse_object(text))
    assert refused.value.place == place
    assert what in refused.value.what


def test_a_lone_surrogate_in_the_text_itself() -> None:
    with pytest.raises(NotCanonicalError, match="lone surrogate"):
        parse_object('{"a":"\ud800"}')


def test_depth() -> None:
    def nested(levels: int) -> str:
        return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)

    assert canonical(parse_object(nested(PARAMS_DEPTH_MAX)))
    with pytest.raises(NotCanonicalError, match="deeper than 32"):
        canonical(parse_object(nested(PARAMS_DEPTH_MAX + 1)))
    with pytest.raises(NotCanonicalError, match="deeper than 32"):
        canonical(parse_object('{"a":' + "[" * 30_000 + "]" * 30_000 + "}"))


def test_size() -> None:
    frame = len('{"a":""}')
    assert canonical(parse_object('{"a":"' + "x" * (PARAMS_BYTES_MAX - frame) + '"}'))
    with pytest.raises(NotCanonicalError, match="at most 65536"):
        parse_object('{"a":"' + "x" * (PARAMS_BYTES_MAX - frame + 1) + '"}')
    with pytest.raises(NotCanonicalError, match="at most 65536"):
        parse_object('{"a":"' + "é" * (PARAMS_BYTES_MAX // 2) + '"}')


def test_digest_is_sha256_hex() -> None:
    assert digest(b"{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
