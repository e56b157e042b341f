"""A rule counts as ruled out by a tool's settings only when OPA's reading of the rule says so too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from placet.policy.checks.collection_checks import collection_problems
from placet.policy.files.staging import staged
from placet.policy.files.tree import PolicyTree, read_tree
from placet.policy.rego import tool_conditions
from placet.policy.rego.modules import Module, parse_modules
from placet.policy.rego.tool_conditions import ToolCondition, conditions_of, may_fire, rule_conditions, set_conditions

if TYPE_CHECKING:
    from collections.abc import Mapping

REGO = Path(__file__).resolve().parents[2] / "rego"
FILE = "policy/odd/odd.rego"
TOOLS = "placet/lib/tools.rego"
DENY = (("policy", "odd"), "deny")
IMPORT = "import data.placet.lib"
LOST = "the findings of this deny would not be collected for every tool"


def pack(body: str, imports: str = IMPORT, rules: str = "") -> bytes:
    return f"package policy.odd\n\n{imports}\n\ndeny contains 1 if {{\n\t{body}\n}}\n{rules}".encode()


def parsed(opa: Path, **modules: bytes | str) -> tuple[PolicyTree, tuple[Module, ...]]:
    """The shipped `placet.lib` with the module of a pack, and perhaps another text of tools.rego."""
    shipped = read_tree(REGO)
    contents = {name: text for name, text in shipped.modules.items() if name.startswith("placet/lib/")}
    contents[FILE] = modules["odd"] if isinstance(modules["odd"], bytes) else modules["odd"].encode()
    if "tools" in modules:
        contents[TOOLS] = str(modules["tools"]).encode()
    tree = replace(shipped, modules=contents)
    with staged(tree, tests=False) as stage:
        return tree, parse_modules(tree, stage, opa)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("lib.tool.evidence", ToolCondition("evidence")),
        ("not lib.tool.class", ToolCondition("class", is_set=False)),
        ('lib.tool.class == "read"', ToolCondition("class", equals="read")),
        ('lib.tool.class ==\n\t\t"read"', ToolCondition("class", equals="read")),
        ("lib.tool.approval_required == false", ToolCondition("approval_required", equals=False)),
        ("not is_boolean(lib.tool.x)", ToolCondition("x", is_set=False, no_boolean=True)),
        ("input.run.step > 3\n\tlib.tool.evidence", ToolCondition("evidence")),
    ],
)
def test_a_line_about_one_setting_is_a_condition(opa: Path, body: str, expected: ToolCondition) -> None:
    tree, modules = parsed(opa, odd=pack(body))
    assert set_conditions(tree.modules)[DENY] == [frozenset({expected})]
    [module] = [module for module in modules if module.file == FILE]
    assert conditions_of(module, module.rules[0], frozenset()) == {expected}
    assert list(collection_problems(tree, modules)) == []


@pytest.mark.parametrize(
    ("body", "imports", "rules"),
    [
        ("lib.tool.evidence.min_items", IMPORT, ""),
        ('lib.tool["evidence"]', IMPORT, ""),
        ("x := lib.tool.evidence\n\tx", IMPORT, ""),
        ("lib.tool.evidence != true", IMPORT, ""),
        ("lib.tool.evidence == input.x", IMPORT, ""),
        ("lib.tool.evidence == 1", IMPORT, ""),
        ('not lib.tool.class == "read"', IMPORT, ""),
        ("is_boolean(lib.tool.class)", IMPORT, ""),
        ("not is_string(lib.tool.class)", IMPORT, ""),
        ("not not_boolean(lib.tool.class)", IMPORT, "\nnot_boolean(_) := true\n"),
        ("lib.tool.class with input.action.tool as 1", IMPORT, ""),
        ("lib.tool.class\n\t\twith input.action.tool as 1", IMPORT, ""),
        ("lib.tool.evidence\n\tor lib.tool.class", f"import future.keywords.or\n{IMPORT}", ""),
        ("lib.tool.evidence or\n\tlib.tool.class", f"import future.keywords.or\n{IMPORT}", ""),
        ("some lib in [{}]\n\tlib.tool.evidence", IMPORT, ""),
        ("lib.tool.evidence", "import data.odd as lib", ""),
        ("lib.tool.evidence", "import data.odd.lib", ""),
        ("lib.tool.evidence", "import data.placet.lib as other\nimport data.other as lib", ""),
        ("lib.tool.evidence", "import data.placet.lib.tools as lib", ""),
        ("count([1 |\n\t\tlib.tool.evidence\n\t]) == 0", IMPORT, ""),
        ("every t in [] {\n\t\tlib.tool.evidence == t\n\t}", IMPORT, ""),
    ],
)
def test_any_other_line_is_no_condition(opa: Path, body: str, imports: str, rules: str) -> None:
    tree, modules = parsed(opa, odd=pack(body, imports, rules))
    assert set_conditions(tree.modules)[DENY] == [frozenset()]
    assert list(collection_problems(tree, modules)) == []


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("not is_boolean(lib.tool.x)", "\nis_boolean(_) := true\n"),
        ('lib.tool.class == "read"', "\nequal(_, _) := true\n"),
    ],
)
def test_an_operator_that_the_package_defines_is_refused(opa: Path, body: str, rules: str) -> None:
    tree, modules = parsed(opa, odd=pack(body, rules=rules))
    [problem] = collection_problems(tree, modules)
    assert (problem.what, problem.where) == (LOST, f"{tree.where(FILE)}:5")


@pytest.mark.parametrize("body", ["lib.tool.class", "not lib.tool.evidence", "true"])
def test_a_text_with_more_conditions_than_opa_reads_is_refused(opa: Path, body: str) -> None:
    _, modules = parsed(opa, odd=pack(body))
    tree, _ = parsed(opa, odd=pack("lib.tool.evidence"))
    [problem] = collection_problems(tree, modules)
    assert problem.what == LOST


def test_a_local_variable_is_not_the_library(
    opa: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    tree, modules = parsed(opa, odd=pack("some lib in [{}]\n\tlib.tool.evidence"))
    monkeypatch.setattr(tool_conditions, "_only_names_the_library", lambda _: True)
    rule_conditions.cache_clear()  # another test may have asked about the same text
    request.addfinalizer(rule_conditions.cache_clear)
    assert rule_conditions(tree.modules[FILE])[0][2] == {ToolCondition("evidence")}
    [problem] = collection_problems(tree, modules)
    assert problem.what == LOST


def test_another_definition_of_the_tool_gives_no_conditions(opa: Path) -> None:
    own = (REGO / TOOLS).read_text().replace("data.placet.compiled.tools[", "data.tenants[")
    tree, modules = parsed(opa, odd=pack("lib.tool.evidence"), tools=own)
    assert set_conditions(tree.modules) == {}
    assert list(collection_problems(tree, modules)) == []


@pytest.mark.parametrize("more", ["tool := 1 if input.x", 'tool["evidence"] := 1 if input.x', "tool.x.y := 1"])
def test_a_second_definition_of_the_tool_is_refused(opa: Path, more: str) -> None:
    text = f"{(REGO / TOOLS).read_text()}\n{more}\n"
    tree, modules = parsed(opa, odd=pack("lib.tool.evidence"), tools=text)
    [problem] = collection_problems(tree, modules)
    assert problem.what == "defines placet.lib.tool again"
    assert problem.where == f"{tree.where(TOOLS)}:{text.count(chr(10))}"


@pytest.mark.parametrize(
    ("condition", "settings", "expected"),
    [
        (ToolCondition("a"), {}, False),
        (ToolCondition("a"), {"a": False}, False),
        (ToolCondition("a"), {"a": None}, True),
        (ToolCondition("a"), {"a": []}, True),
        (ToolCondition("a", is_set=False), {}, True),
        (ToolCondition("a", is_set=False), {"a": False}, True),
        (ToolCondition("a", is_set=False), {"a": None}, False),
        (ToolCondition("a", equals=True), {"a": True}, True),
        (ToolCondition("a", equals=True), {"a": 1}, False),
        (ToolCondition("a", equals=True), {}, False),
        (ToolCondition("a", equals=False), {"a": False}, True),
        (ToolCondition("a", equals=False), {}, False),
        (ToolCondition("a", equals="x"), {"a": "x"}, True),
        (ToolCondition("a", equals="x"), {"a": ["x"]}, False),
        (ToolCondition("a", is_set=False, no_boolean=True), {}, True),
        (ToolCondition("a", is_set=False, no_boolean=True), {"a": None}, True),
        (ToolCondition("a", is_set=False, no_boolean=True), {"a": False}, False),
    ],
)
def test_a_condition_holds_as_the_line_does_in_rego(
    condition: ToolCondition, settings: Mapping[str, Any], *, expected: bool
) -> None:
    assert condition.holds(settings) is expected


def test_a_set_may_fire_when_one_of_its_rules_may() -> None:
    needs = frozenset({ToolCondition("a"), ToolCondition("b")})
    assert not may_fire([needs], {"a": 1})
    assert may_fire([needs, frozenset({ToolCondition("a")})], {"a": 1})
    assert may_fire([needs, frozenset()], {})
    assert may_fire(None, {})
    assert not may_fire([], {})
