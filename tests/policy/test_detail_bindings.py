"""Lines of a body that serve the details: refused when they could take the finding away, unless a condition asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.policy.test_hardening import LESS, WHOLE, found, pack, problems, write

if TYPE_CHECKING:
    from pathlib import Path

TO = "to := input.action.params.to"
MORE = """
_k := "to"

_params := input.action.params

_any(_)

_is_bob(x) if x == "bob"

_name(x) := x.name
"""
INSTEAD = "move the value into the second argument of finding; put a condition on a line that binds no variable"


def written(body: str, details: str) -> str:
    return pack(details, body=body.replace("\n", "\n\t")) + MORE


@pytest.mark.parametrize(
    ("body", "details", "name", "line"),
    [
        (TO, '{"to": to}', "to", 10),
        ('true\nm := sprintf("to %v", [input.action.params.to])', '{"m": m}', "m", 11),
        ('true\nd := {"to": input.action.params.to}', "d", "d", 11),
        (f'{TO}\nd := {{"to": to}}', "d", "to", 10),
        (f"{TO}\nd := [x | x := to]", '{"d": d}', "to", 10),
        (f"{TO}\nx := [to]\nx == [1]", '{"x": x}', "to", 10),
        ("m = _described(input.action.params.to)", '{"m": m}', "m", 10),
        ("_described(input.action.params.to) = m", '{"m": m}', "m", 10),
        ('sprintf("to %v", [input.action.params.to], m)', '{"m": m}', "m", 10),
        ("n := input.action.params.tags[_].n", '{"n": n}', "n", 10),
        ("to := input.action.params.to with input.foo as 1", '{"to": to}', "to", 10),
        ("p := input.action.params\nto := p.to", '{"to": to}', "to", 11),
        ("p := input.action.params\nto := p.to\np != 1", '{"to": to}', "to", 11),
        ('d := {"n": input.action.params.n, "why": input.action.params.why}\nd.n > 1', "d", "d", 10),
        ("d := [input.action.params.n, input.action.params.why]\nd[0] > 1", '{"d": d}', "d", 10),
        ('bad := [{"a": x.a, "why": x.why} | some x in input.action.params.list; x.a > 3]\ncount(bad) > 0',
            '{"bad": bad}', "bad", 10),
        ("bad := {x.id | some x in input.action.params.list; x.a > 3}\ncount(bad) > 0", '{"bad": bad}', "bad", 10),
        ("bad := {x.id: 1 | some x in input.action.params.list; x.a > 3}\nbad != {}", '{"bad": bad}', "bad", 10),
        ('to := input.action.params.to\nm := sprintf("%s %s", [to, input.action.params.cc])\nto == "bob"',
            '{"m": m}', "m", 11),
    ],
)  # fmt: skip
def test_a_line_that_may_be_undefined_may_not_serve_the_details_alone(
    rego_dir: Path, opa: Path, body: str, details: str, name: str, line: int
) -> None:
    write(rego_dir, written(body, details))
    what = f"only the details use {name}, and this deny vanishes when the line is undefined"
    assert problems(rego_dir, opa) == [f"policy/extra/extra.rego:{line}: {what} ({INSTEAD})"]


@pytest.mark.parametrize(
    "line",
    [
        "[to] := [input.action.params.to]",
        "[to] = [input.action.params.to]",
        '{"to": to, "n": _, "tags": _, "o": _} = input.action.params',
        'input.action.params = {"n": 2, "tags": _, "o": _, "to": to}',
        '[{"to": to, "n": _, "tags": _, "o": _}] = [input.action.params]',
        '{"to": to, "n": _, "tags": _, "o": _} = object.union(input.action.params, {})',
        '{"to": to} = object.filter(input.action.params, ["to"])',
        'x := ["x", "bob"]\nx = ["x", to]\n[to] = [input.action.params.to]',
    ],
)
@pytest.mark.parametrize("condition", ["", '\nto == "bob"', "\nto != 1"])
def test_what_is_taken_apart_needs_all_its_parts(rego_dir: Path, opa: Path, line: str, condition: str) -> None:
    write(rego_dir, written(line + condition, '{"to": to}'))
    assert any("only the details use to, and this deny" in each for each in problems(rego_dir, opa))


@pytest.mark.parametrize(
    "line",
    [
        'walk(input.action.params, [["to"], to])',
        "some to in [input.action.params.to]",
        "some _, to in {input.action.params.to}",
        'some "to", to in input.action.params',
        "some to in array.concat([input.action.params.to], [])",
        'some to in object.filter(input.action.params, ["to"])',
        "to := {x | x := input.action.params.to}[_]",
        "some to\n[input.action.params.to][_] = to",
        "xs := {x | x := input.action.params.to}\nsome to in xs",
        "xs := {x | x := input.action.params.to}\nto := xs[_]",
        "xs := [x | x := input.action.params.to]\nto := xs[i]",
        "xs := [input.action.params.to]\nys := xs\nsome to in ys",
        "to := input.action.params[_k]",
        'k := "to"\nto := input.action.params[k]',
        'k = "to"\nto = input.action.params[k]',
        'split(input.action.params.to, ",", [to])',
        'split(input.action.params.to, ",", parts)\nto := parts[_]',
        'object.union(input.action.params, {}, {"to": to, "n": _, "tags": _, "o": _})',
    ],
)
def test_what_is_made_in_the_body_to_be_iterated_is_no_condition(rego_dir: Path, opa: Path, line: str) -> None:
    write(rego_dir, written(line, '{"to": to}'))
    assert any("only the details use to, and this deny" in each for each in problems(rego_dir, opa))


@pytest.mark.parametrize(
    "line",
    [
        "x := to\nx == x",
        "print(to)",
        "to == to",
        "_ = [y | y := to]",
        "every x in [] { x == to }",
        "every x in {y | y := 1; false} { x == to }",
        "every x in input.action.params.none { x == to }",
        "count([to]) == 1",
        "to in [to]",
        "to in {to, 1}",
        "[to, 1] == [to, 1]",
        'sprintf("%v", [to]) != ""',
        "same := input.action.params.to\nto == same",
        "to == input.action.params.to",
        'to == input.action.params["to"]',
        "lower(to) == lower(to)",
        '{"a": to} != {}',
        'not to == {"never": 1}',
        'not startswith(to, "x")',
        'to != "x" with input.foo as 1',
        "[to]",
        '{"x": to}',
        "_described(to)",
        "_any(to)",
        'split(to, ",", parts)\ncount(input.action.params.tags) > 0',
        "input.action.params.n == 2",
    ],
)
def test_what_only_mentions_a_variable_is_no_condition(rego_dir: Path, opa: Path, line: str) -> None:
    write(rego_dir, written(f"{TO}\n{line}", '{"to": to}'))
    what = "only the details use to, and this deny vanishes when the line is undefined"
    assert problems(rego_dir, opa) == [f"policy/extra/extra.rego:10: {what} ({INSTEAD})"]


@pytest.mark.parametrize(
    ("body", "details", "whole", "less"),
    [
        ("some tag in input.action.params.tags", '{"tag": tag}', [{"tag": "a"}], []),
        ("some i, tag in input.action.params.tags", '{"at": i, "tag": tag, "n": tag.n}',
            [{"at": 0, "tag": "a", "n": None}], []),
        ("tag := input.action.params.tags[_]", '{"tag": tag}', [{"tag": "a"}], []),
        ("tag := input.action.params.tags[i]", '{"tag": tag, "i": i}', [{"tag": "a", "i": 0}], []),
        ("tags := input.action.params.tags\nsome tag in tags", '{"tag": tag}', [{"tag": "a"}], []),
        ("some values in input.action.params\nsome tag in values", '{"tag": tag}',
            [{"tag": "a"}, {"tag": "v"}, {"tag": {"a": 5}}], []),
        ("some tag in _each", '{"tag": tag}', [{"tag": "a"}], []),
        ("walk(input.action.params.o, [path, value])\nis_string(value)", '{"path": path, "value": value}',
            [{"path": ["k"], "value": "v"}], []),
        ('some name, to in _params\nname in ["to", "cc"]', '{"name": name, "to": to}', [{"name": "to", "to": "bob"}],
            []),
        ("n := input.action.params.n\nn > 1", '{"n": n}', [{"n": 2}], []),
        ("n := input.action.params.n\ninput.action.params.n > 1", '{"n": n}', [{"n": 2}], []),
        ('o := input.action.params.o\no.k == "v"', '{"o": o}', [{"o": {"k": "v"}}], []),
        ("n := input.action.params.n\nrest := n - 1\nrest > 0", '{"n": n, "rest": rest}', [{"n": 2, "rest": 1}], []),
        ('tags := input.action.params.tags\n"a" in tags', '{"tags": tags}', [{"tags": ["a"]}], []),
        ("tags := input.action.params.tags\ncount(tags) > 0", '{"tags": tags}', [{"tags": ["a"]}], []),
        (f'{TO}\nlower(to) == "bob"', '{"to": to}', [{"to": "bob"}], []),
        (f"{TO}\nis_string(to)", '{"to": to}', [{"to": "bob"}], []),
        (f"{TO}\n_is_bob(to)", '{"to": to}', [{"to": "bob"}], []),
        (f"{TO}\nto", '{"to": to}', [{"to": "bob"}], []),
        ("p := input.action.params\nto := p.to\nto != 1", '{"to": to}', [{"to": "bob"}], []),
        ('bad := [{"a": x.a, "y": object.get(x, "y", null)} | some x in input.action.params.list; x.a > 3]\nbad != []',
            '{"bad": bad}', [{"bad": [{"a": 5, "y": None}]}], []),
        (TO + "\nregex.is_valid(to)", '{"to": to}', [{"to": "bob"}], []),
        ('all := [x | some x in input.action.params.tags]\nd := {"all": all, "n": 1}', "d",
            [{"all": ["a"], "n": 1}], [{"all": [], "n": 1}]),
        ("not input.action.params.none", '{"x": {y | some y in _each}}', [{"x": ["a"]}], [{"x": []}]),
    ],
)  # fmt: skip
def test_a_condition_of_the_author_stays_one(
    rego_dir: Path, opa: Path, tmp_path: Path, body: str, details: str, whole: object, less: object
) -> None:
    write(rego_dir, written(body, details))
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, WHOLE, tmp_path / "cache") == whole
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == less
