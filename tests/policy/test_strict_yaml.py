from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.kernel.errors import PolicyInvalidError
from placet.policy.files.strict_yaml import read_json, read_yaml
from placet.policy.files.yaml_values import exact_decimal


def refused(text: str | bytes) -> str:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyInvalidError) as raised:
        read_yaml(content, "f")
    assert len(raised.value.problems) == 1
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2.00", Decimal("2.00")),
        ("a: 0.1", Decimal("0.1")),
        ("a: 500.00", Decimal("500.00")),
        ("a: 1e3", Decimal(1000)),
        ("a: 1.5e-3", Decimal("0.0015")),
        ("a: -0.5", Decimal("-0.5")),
        ("a: 9007199254740991", 9007199254740991),
        ("a: -5", -5),
        ("a: true", True),
        ("a: null", None),
        ("a:", None),
        ('a: "yes"', "yes"),
        ("a: 2026-12-20", "2026-12-20"),
        ("a: '012'", "012"),
        ("a: [1, x]", [1, "x"]),
        ("a: {b: c}", {"b": "c"}),
    ],
)
def test_values_are_exact(text: str, value: Any) -> None:
    found = read_yaml(text.encode(), "f").value["a"]
    assert found == value
    assert type(found) is type(value)
    assert str(found) == str(value) or isinstance(value, Decimal)


def test_decimals_keep_their_digits() -> None:
    assert str(read_yaml(b"a: 2.00", "f").value["a"]) == "2.00"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_any_decimal_survives(number: Decimal) -> None:
    found = read_yaml(f"a: {number:f}".encode(), "f").value["a"]
    assert found == number
    assert not isinstance(found, float)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: duplicate key a (first in line 1) (keep one)"),
        ("x:\n  - {b: 1, b: 1}", "f:2: duplicate key b (first in line 2) (keep one)"),
        ("a: 1e400", "f:1: 1e400 is out of range: at most 9007199254740991, with at most 18 decimal places"),
        ("a: 0e9999", "f:1: 0e9999 is not a decimal number in range"),
        ("a: .nan", "f:1: .nan is not a decimal number in range"),
        ("a: -.inf", "f:1: -.inf is not a decimal number in range"),
        ("a: 0.1111111111111111111", "f:1: 0.1111111111111111111 is out of range"),
        ("a: .5", "f:1: .5 is not a decimal number in range"),
        ("a: 9007199254740992", "f:1: 9007199254740992 is beyond 9007199254740991"),
        ("a: 0\nb: yes", "f:2: YAML readers disagree whether yes is a boolean (write true or false, or quote it)"),
        ("a: y", "f:1: YAML readers disagree whether y is"),
        ("a: True", "f:1: YAML readers disagree whether True is"),
        ("a: 012", 'f:1: YAML readers disagree about the number 012 (if it is text, quote it: "012")'),
        ("a: 1_000", "f:1: YAML readers disagree about the number 1_000"),
        ("a: 1:30", "f:1: YAML readers disagree about the number 1:30"),
        ("a: 0x1f", "f:1: YAML readers disagree about the number 0x1f"),
        ("a: =", "f:1: YAML readers disagree about the type of ="),
        ("no: 1", 'f:1: some YAML readers do not take the key no for text (quote it: "no")'),
        ("12: 1", "f:1: some YAML readers do not take the key 12 for text"),
        ("<<: {a: 1}", "f:1: some YAML readers do not take the key << for text"),
        ("? [a]\n: 1", "f:1: a key must be text"),
        ("a: &x 1\nb: *x", "f:2: the alias *x is not supported (write the value in full)"),
        ("a: !!python/object:os.system x", "f:1: the tag tag:yaml.org,2002:python/object:os.system is not supported"),
        ("a: !!set {b}", "f:1: the tag tag:yaml.org,2002:set is not supported"),
        ("a: [", "f:2: is not YAML: did not find expected node content"),
        ("a: b\n---\nc: d", "f:2: is not YAML: but found another document"),
        ("a: \x01", "f:1: is not YAML: unacceptable character"),
        ("\ta: 1", "f:1: is not YAML: found character that cannot start any token"),
        (b"a: 1\nb: \xff", "f:2: is not UTF-8"),
        ("[" * 40 + "]" * 40, "f:1: is nested deeper than 32 levels"),
        ("- " * 100_000, "f:1: is nested deeper than 32 levels"),
        ("a: &x 1\nb: &x 2", "f:2: is not YAML: second occurrence"),
        ("? !!str a\n: 1", "f:1: the tag tag:yaml.org,2002:str is not supported"),
        ("? *x\n: 1", "f:1: the alias *x is not supported"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str | bytes, said: str) -> None:
    assert refused(text).startswith(said)


def test_an_empty_file_is_nothing() -> None:
    document = read_yaml(b"# only a comment", "f")
    assert document.value is None
    assert document.where(("a",)) == "f:1"


def test_lines_of_parts() -> None:
    document = read_yaml(b"a:\n  b:\n    - x\n    - z: 1\n", "f")
    assert document.where(("a", "b", 1, "z")) == "f:4"
    assert document.where(("a", "b", 0)) == "f:3"
    assert document.where(("a", "b", 7, "w")) == "f:2"
    assert document.where(()) == "f:1"


def test_a_text_is_a_value_here_and_a_key_there() -> None:
    for _ in range(2):  # the second time it is known
        read = read_yaml(b"a: no1\nb: 12\nno1: '12'\n'12': a", "f").value
        assert read == {"a": "no1", "b": 12, "no1": "12", "12": "a"}
        assert refused("12: a").startswith("f:1: some YAML readers do not take the key 12 for text")


def test_equal_texts_of_documents_are_one_object() -> None:
    (key,), (again,) = (list(read_yaml(text, "f").value) for text in (b"shared key: 1", b"shared key: 2"))
    assert key is again


def test_json_is_read_exactly() -> None:
    assert read_json(b'{"a": 0.1, "b": [1]}', "f").value == {"a": Decimal("0.1"), "b": [1]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": 1,\n"a": 2}', "f:1: duplicate key 'a'"),
        (b'{"a": NaN}', "f:1: NaN is not a JSON number"),
        (b'{"a": 1e999}', "f:1: 1e999 is out of range"),
        (b'{"a":\n}', "f:2: is not JSON: Expecting value"),
        (b"\xff\xff\xff", "f:1: is not UTF-8"),
        (b"[" * 100_000, "f:1: is nested deeper than 32 levels"),
    ],
)
def test_json_that_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(PolicyInvalidError) as raised:
        read_json(text, "f")
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize("text", ["1e16", "1.", "01.5", "+1.5", "1e", "", "9" * 5000])
def test_decimals_out_of_range_or_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a decimal number in range|is out of range"):
        exact_decimal(text)
