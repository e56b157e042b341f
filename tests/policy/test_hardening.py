"""A deny or require_approval stands whatever its details are: the text that is served, evaluated by real OPA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.check import serving_problems
from placet.policy.files.staging import staged
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import read_tree
from placet.policy.rego.hardening import harden, hardened
from placet.policy.rego.modules import parse_modules
from placet.policy.toolchain.process import run

HEAD = "package policy.extra\n\nimport data.placet.lib.finding\n"
NOTE = "\n# METADATA\n# title: Why\n# custom:\n#   rule_id: extra.one\n"
WHOLE = {"action": {"tool": "pay", "params": {"to": "bob", "n": 2, "tags": ["a"], "o": {"k": "v"}, "list": [{"a": 5}]}}}
LESS: dict[str, Any] = {"action": {"tool": "pay", "params": {}}}
HELPERS = """
_to := input.action.params.to

_roles := ["lead"] if input.action.params.n == 2

_described(x) := sprintf("to %v", [x])

_each contains tag if some tag in input.action.params.tags

_summary := {"to": input.action.params.to}
"""


def write(rego_dir: Path, text: str) -> None:
    folder = rego_dir / "policy/extra"
    folder.mkdir(exist_ok=True)
    (folder / "extra.rego").write_text(text)
    schema = rego_dir / "schemas/input.json"
    told = json.loads(schema.read_text())
    told["properties"]["action"]["properties"]["params"] = {"type": "object"}
    schema.write_text(json.dumps(told))


def pack(details: str, effect: str = "deny", body: str = 'input.action.tool == "pay"') -> str:
    rule = f"{effect} contains finding(rego.metadata.rule(), {details}) if {{\n\t{body}\n}}\n"
    return HEAD + NOTE + rule + HELPERS


def problems(rego_dir: Path, opa: Path) -> list[str]:
    tree = read_tree(rego_dir)
    with staged(tree, tests=False) as stage:
        found = serving_problems(tree, parse_tenants(tree), stage, opa)
    return [str(problem).removeprefix(f"{rego_dir}/") for problem in found]


def found(rego_dir: Path, opa: Path, said: object, cache: Path, effect: str = "deny") -> list[Any]:
    """The details of what the served bundle finds, with the strict errors that Placet asks for."""
    bundle = build_bundle(rego_dir, opa, cache)
    query = f"[found.details | some found in data.policy.extra.{effect}]"
    arguments = ["eval", "--bundle", str(bundle.path), "--strict-builtin-errors", "--stdin-input", "--format", "raw"]
    ended = run(opa, [*arguments, query], stdin=json.dumps(said).encode())
    assert ended.exit_code == 0, ended.stderr
    details: list[Any] = json.loads(ended.stdout)
    return details


@pytest.mark.parametrize(
    ("details", "whole", "less"),
    [
        ('{"to": input.action.params.to}', {"to": "bob"}, {"to": None}),
        ('{"to": input.action.params.to, "why": "x"}', {"to": "bob", "why": "x"}, {"to": None, "why": "x"}),
        ('{"m": sprintf("to %v", [input.action.params.to])}', {"m": "to bob"}, {"m": None}),
        ('{"m": $"to {input.action.params.to}"}', {"m": "to bob"}, {"m": "to <undefined>"}),
        ('{"to": _to}', {"to": "bob"}, {"to": None}),
        ('{"roles": _roles, "quorum": 1}', {"roles": ["lead"], "quorum": 1}, {"roles": None, "quorum": 1}),
        ('{"d": _described(input.action.params.to)}', {"d": "to bob"}, {"d": None}),
        ("_summary", {"to": "bob"}, {"details": None}),
        ('object.union({"a": 1}, _summary)', {"a": 1, "to": "bob"}, {"details": None}),
        ('object.get(input.action.params, "o", {})', {"k": "v"}, {}),
        ('{"a": {"b": {"c": input.action.params.n, "d": 1}}}', {"a": {"b": {"c": 2, "d": 1}}},
            {"a": {"b": {"c": None, "d": 1}}}),
        ('{"list": [1, input.action.params.n]}', {"list": [1, 2]}, {"list": None}),
        ('{"list": [x | x := input.action.params.tags[_]]}', {"list": ["a"]}, {"list": []}),
        ('{"set": {x | some x in _each}}', {"set": ["a"]}, {"set": []}),
        ('{"o": {k: v | some k, v in input.action.params.o}}', {"o": {"k": "v"}}, {"o": {}}),
        ('{"n": input.action.params.n + 1}', {"n": 3}, {"n": None}),
        ('{"n": (input.action.params.n * 2) - -1, "s": "a, b: {c}"}', {"n": 5, "s": "a, b: {c}"},
            {"n": None, "s": "a, b: {c}"}),
        ('{"n": count(input.action.params.tags)}', {"n": 1}, {"n": None}),
        ('{"x": input.action.params.o.k == "v"}', {"x": True}, {"x": None}),
        ('{"said": finding({"custom": {"rule_id": "x"}, "title": _to}, 1).reason}',
            {"said": "bob"}, {"said": None}),
        ('{"a": `raw "text" }`, "é": input.action.params.n}', {"a": 'raw "text" }', "é": 2},
            {"a": 'raw "text" }', "é": None}),
        ('{ # why, { not\n\t"to": # to whom\n\t\tinput.action.params.to, # "done"\n}', {"to": "bob"}, {"to": None}),
        ("{}", {}, {}),
    ],
)  # fmt: skip
def test_a_deny_stands_with_what_could_be_told(
    rego_dir: Path, opa: Path, tmp_path: Path, details: str, whole: object, less: object
) -> None:
    write(rego_dir, pack(details))
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, WHOLE, tmp_path / "cache") == [whole]
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == [less]


def test_so_does_a_require_approval(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    write(rego_dir, pack('{"quorum": 1, "approver_roles": _roles}', "require_approval"))
    assert problems(rego_dir, opa) == []
    cache = tmp_path / "cache"
    assert found(rego_dir, opa, WHOLE, cache, "require_approval") == [{"quorum": 1, "approver_roles": ["lead"]}]
    assert found(rego_dir, opa, LESS, cache, "require_approval") == [{"quorum": 1, "approver_roles": None}]


def test_as_it_is_written_it_would_vanish(rego_dir: Path, opa: Path) -> None:
    write(rego_dir, pack('{"to": input.action.params.to}'))
    with staged(read_tree(rego_dir), tests=False) as stage:
        arguments = ["eval", "--data", str(stage / "policy"), "--data", str(stage / "placet"), "--stdin-input"]
        ended = run(opa, [*arguments, "--format", "raw", "data.policy.extra.deny"], stdin=json.dumps(LESS).encode())
    assert json.loads(ended.stdout) == []


def test_details_that_err_deny_everything_rather_than_nothing(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    write(rego_dir, pack('{"at": time.parse_rfc3339_ns(input.action.params.to)}'))
    bundle = build_bundle(rego_dir, opa, tmp_path / "cache")
    arguments = ["eval", "--bundle", str(bundle.path), "--stdin-input", "data.policy.extra.deny"]
    strict = run(opa, [*arguments, "--strict-builtin-errors"], stdin=json.dumps(WHOLE).encode())
    assert strict.exit_code != 0
    lax = run(opa, [*arguments, "--format", "raw"], stdin=json.dumps(WHOLE).encode())
    assert [each["details"] for each in json.loads(lax.stdout)] == [{"at": None}]
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == [{"at": None}]


def test_an_allow_is_not_widened(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    write(rego_dir, pack('{"to": input.action.params.to}', "allow"))
    assert found(rego_dir, opa, WHOLE, tmp_path / "cache", "allow") == [{"to": "bob"}]
    assert found(rego_dir, opa, LESS, tmp_path / "cache", "allow") == []


def test_the_finding_may_be_made_in_the_body(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    made = 'found := finding(rego.metadata.rule(), {"to": _to})'
    rule = f'deny contains found if {{\n\tinput.action.tool == "pay"\n\t{made}\n}}\n'
    write(rego_dir, HEAD + NOTE + rule + HELPERS)
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == [{"to": None}]


@pytest.mark.parametrize(
    ("details", "over"),
    [
        ('{"tag": input.action.params.tags[_]}', "_"),
        ('{"i": i, "tag": input.action.params.tags[i]}', "i"),
        ('{"all": walk(input.action.params.o)}', "walk"),
        ("input.action.params[_]", "_"),
    ],
)
def test_details_may_not_iterate(rego_dir: Path, opa: Path, details: str, over: str) -> None:
    write(rego_dir, pack(details))
    what = f"the details of this deny iterate over {over}, so it vanishes when there is no element"
    remedy = "iterate in the body with `some x in ...`, and use x in the details"
    assert problems(rego_dir, opa) == [f"policy/extra/extra.rego:9: {what} ({remedy})"]


@pytest.mark.parametrize(
    "head",
    [
        'deny contains {"rule_id": rego.metadata.rule().custom.rule_id, "reason": "x", "details": {"to": _to}}',
        'deny contains object.union(finding(rego.metadata.rule(), {}), {"details": {"to": _to}})',
        'deny contains _mine(rego.metadata.rule(), {"to": _to})',
        "deny contains finding(object.union(rego.metadata.rule(), _summary), {})",
    ],
)
def test_findings_that_are_made_otherwise_are_refused(rego_dir: Path, opa: Path, head: str) -> None:
    mine = "\n_mine(rule, details) := finding(rule, details)\n"
    write(rego_dir, f'{HEAD}{NOTE}{head} if input.action.tool == "pay"\n{HELPERS}{mine}')
    remedy = "write deny contains finding(rego.metadata.rule(), {...}) if { ... }"
    what = "this deny is not made with finding(rego.metadata.rule(), ...)"
    assert problems(rego_dir, opa) == [f"policy/extra/extra.rego:9: {what} ({remedy})"]


@pytest.mark.parametrize(
    ("imported", "name"),
    [
        ("import data.placet.lib.finding as f", "f"),
        ("import data.placet.lib", "lib.finding"),
        ("import data.placet.lib as l", "l.finding"),
        ("", "data.placet.lib.finding"),
    ],
)
def test_the_idiom_under_other_names(rego_dir: Path, opa: Path, tmp_path: Path, imported: str, name: str) -> None:
    rule = f'deny contains {name}(rego.metadata.rule(), {{"to": _to}}) if input.action.tool == "pay"\n'
    write(rego_dir, f"package policy.extra\n\n{imported}\n{NOTE}{rule}\n_to := input.action.params.to\n")
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == [{"to": None}]


@pytest.mark.parametrize(
    "elsewhere",
    [
        '_quote := "a \\" deny contains finding(rego.metadata.rule(), {"',
        '_raw := `deny contains finding(rego.metadata.rule(), {"to": 1}`',
        '_template := $"a {input.action.tool} \\" \\{ {[x | x := {"}": 1}]}"',
        "# deny contains finding(rego.metadata.rule(), {",
        '_nested := $"a {object.get(input, "x", "}")} b"',
    ],
)
def test_what_only_looks_like_a_rule_is_left_alone(rego_dir: Path, opa: Path, tmp_path: Path, elsewhere: str) -> None:
    text = (
        HEAD
        + f"\n{elsewhere}\n"
        + NOTE
        + 'deny contains finding(rego.metadata.rule(), {"to": input.action.params.to}) if true\n'
    )
    write(rego_dir, text)
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == [{"to": None}]


def test_a_module_that_uses_the_names_of_the_guards(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    body = 'some _placet_detail in input.action.params.tags\n\tinput.action.tool == "pay"'
    write(rego_dir, pack('{"a": _placet_detail, "n": input.action.params.none}', body=body))
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, WHOLE, tmp_path / "cache") == [{"a": "a", "n": None}]


def test_every_line_keeps_its_number() -> None:
    for path in Path("rego").rglob("*.rego"):
        source = path.read_text()
        assert harden(source).count("\n") == source.count("\n")


def test_what_is_guarded_already_stays_safe(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    once = harden(pack('{"to": input.action.params.to}'), write_out=False)
    write(rego_dir, once)
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, LESS, tmp_path / "cache") == [{"to": None}]


def test_every_shipped_module_parses_as_before_but_for_the_guards(opa: Path) -> None:
    tree = read_tree(Path("rego"))
    safe = hardened(tree)
    changed = [name for name in tree.modules if tree.modules[name] != safe.modules[name]]
    assert {"policy/refunds/refunds.rego", "placet/baseline/evidence/evidence.rego"} <= set(changed)
    assert "placet/main/main.rego" not in changed
    with staged(safe, tests=False) as stage:
        assert len(parse_modules(safe, stage, opa)) == len(tree.modules)


@given(st.text(alphabet='deny contains(){}[]",:|`$#\\\n-1x.finding rego.metadata.rule', max_size=200))
def test_any_text_is_taken_apart_and_lines_stay(source: str) -> None:
    assert harden(source).count("\n") == source.count("\n")
    head = "deny contains finding(rego.metadata.rule(), " + source
    assert harden(head).count("\n") == head.count("\n")


SHIPPED = 'finding(rule, details) := {"rule_id": rule.custom.rule_id, "reason": rule.title, "details": details}'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SHIPPED + " if details.to", 3),
        (SHIPPED + " if count(details) > 0", 3),
        (SHIPPED.replace("rule.custom.rule_id", "rule.title"), 3),
        (SHIPPED.replace('"details": details', '"details": {}').replace("details)", "_)"), 3),
        (f"{SHIPPED}\n\n{SHIPPED.replace('rule.title', 'details.none')}", 5),
    ],
)
def test_the_function_that_makes_findings_must_be_the_shipped_one(
    rego_dir: Path, opa: Path, text: str, line: int
) -> None:
    (rego_dir / "placet/lib/lib.rego").write_text(f"package placet.lib\n\n{text}\n")
    what = "finding differs from the one that ships with Placet, so findings could vanish or change"
    remedy = "copy placet/lib/lib.rego from the policy that ships with Placet"
    assert problems(rego_dir, opa) == [f"placet/lib/lib.rego:{line}: {what} ({remedy})"]


@pytest.mark.parametrize(
    "line", ["custom: {rule_id: extra.one, reviewed: 2024-02-30}", 'custom: {rule_id: extra.one, n: !!int ""}']
)
def test_a_call_below_metadata_that_cannot_be_read_stays(line: str) -> None:
    source = pack("{}").replace("# custom:\n#   rule_id: extra.one", f"# {line}")
    assert line in source
    assert "finding(rego.metadata.rule(), {})" in harden(source)
    assert "finding(rego.metadata.rule(), {})" not in harden(pack("{}"))


def test_a_date_that_does_not_exist_in_metadata_is_served(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    text = pack("{}", body="true").replace("rule_id: extra.one", "rule_id: extra.one\n#   reviewed: 2024-02-30")
    write(rego_dir, text)
    assert problems(rego_dir, opa) == []
    assert found(rego_dir, opa, {}, tmp_path) == [{}]


def test_a_lone_surrogate_in_metadata_is_refused_with_its_line(rego_dir: Path, opa: Path) -> None:
    write(rego_dir, pack("{}").replace("title: Why", 'title: "Why \\ud800"'))
    assert any(problem.startswith("policy/extra/extra.rego:") for problem in problems(rego_dir, opa))
