"""The tools that a pack's text names are never fewer than those that OPA's reading of its rules gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from placet.policy.checks.collection_checks import collection_problems
from placet.policy.files.staging import staged
from placet.policy.files.tree import PolicyTree, read_tree
from placet.policy.rego.collection import finding_sets
from placet.policy.rego.modules import Module, parse_modules
from placet.policy.rego.rule_scope import RuleScope

if TYPE_CHECKING:
    from pathlib import Path

FILE = "policy/odd/odd.rego"
DENY = (("policy", "odd"), "deny")
ABOUT_A = 'deny contains 1 if {\n\tinput.action.tool == "a"\n}\n'
ABOUT_ALL = "deny contains 2 if input.run.step > 3\n"
LOST = "the findings of this deny would not be collected for every tool"


def parsed(rego_dir: Path, opa: Path, rules: str) -> tuple[PolicyTree, Module]:
    """A tree of one module, of the pack `odd`, with the rules."""
    tree = replace(read_tree(rego_dir), modules={FILE: f"package policy.odd\n\n{rules}".encode()})
    with staged(tree, tests=False) as stage:
        [module] = parse_modules(tree, stage, opa)
    return tree, module


@pytest.mark.parametrize(
    "between",
    [
        "_s := $`\\{`",
        "_s := $`\\\\{`",
        "_s := $`q\\`",
        '_s := $`a{$"\\{ {$`\\{ }`}"}`',
        "_s := $`a{1 # } `\n}`",
        '_s := $"\\{ {input.action.tool}"',
        "_s := `{{{ # \\`",
        '_s := 1 # {{{ ` "',
    ],
)
def test_no_text_hides_the_rules_that_follow_it(rego_dir: Path, opa: Path, between: str) -> None:
    tree, module = parsed(rego_dir, opa, f"{ABOUT_A}\n{between}\n\n{ABOUT_ALL}")
    assert [rule.name for rule in module.rules] == ["deny", "_s", "deny"]
    assert finding_sets(tree.modules) == {DENY: None}
    assert list(collection_problems(tree, [module])) == []


@pytest.mark.parametrize(
    "head", ["deny contains 1", 'deny contains {\n\t"x": 1,\n}', "deny contains concat(\n\t[],\n)"]
)
def test_a_rule_without_a_body_is_about_every_tool(rego_dir: Path, opa: Path, head: str) -> None:
    tree, module = parsed(rego_dir, opa, f'{head}\n\n_h if {{\n\tinput.action.tool == "a"\n}}\n')
    assert finding_sets(tree.modules) == {DENY: None}
    assert list(collection_problems(tree, [module])) == []


def test_if_may_be_on_the_next_line(rego_dir: Path, opa: Path) -> None:
    tree, module = parsed(rego_dir, opa, ABOUT_A.replace(" if", "\nif"))
    assert finding_sets(tree.modules) == {DENY: frozenset({"a"})}
    assert list(collection_problems(tree, [module])) == []


@pytest.mark.parametrize(
    "rules",
    [
        'deny contains 1 if _h\n\n_h if input.action.tool == "a"\n',
        'deny contains 1 if {\n\tnot input.action.tool == "a"\n}\n',
        "deny contains 1 if {\n\tevery t in [] {\n\t\tinput.action.tool == t\n\t}\n}\n",
        'deny contains 1 if {\n\tcount([1 |\n\t\tinput.action.tool == "a"\n\t]) == 0\n}\n',
        f"{ABOUT_A}\nequal(_, _) := true\n",
        f"{ABOUT_A}\neq(_, _) := true\n",
        'deny contains 1 if input.action.tool in {"a"}\n\ninternal.member_2(_, _) := true\n',
    ],
)
def test_a_set_is_refused_unless_every_rule_itself_names_its_tools(rego_dir: Path, opa: Path, rules: str) -> None:
    tree, module = parsed(rego_dir, opa, rules)
    [problem] = collection_problems(tree, [module], {DENY: frozenset({"a"})})
    assert problem.what == LOST


@pytest.mark.parametrize(
    "text", [ABOUT_A, f"\n{ABOUT_A}{ABOUT_A}", ABOUT_A + ABOUT_A.replace("deny", "allow"), f"{ABOUT_A * 3}"]
)
def test_a_text_that_seems_to_have_other_rules_than_opa_finds_is_refused(rego_dir: Path, opa: Path, text: str) -> None:
    tree, module = parsed(rego_dir, opa, ABOUT_A * 2)
    assert list(collection_problems(tree, [module])) == []
    misread = replace(tree, modules={FILE: f"package policy.odd\n\n{text}".encode()})
    [problem] = collection_problems(misread, [module])
    assert problem.where.endswith(FILE)
    assert problem.what == "the text of this module seems to have other findings than those that OPA reads"


IF_A = '_h if input.action.tool == "a"'


@pytest.mark.parametrize(
    ("helper", "tools"),
    [
        (IF_A, {"a"}),
        (f"default _h := false\n\n{IF_A}", {"a"}),
        (f'{IF_A}\n\n_h if input.action.tool == "b"', {"a", "b"}),
        ('_h if {\n\tinput.action.tool == "a"\n} else if {\n\tinput.action.tool == "b"\n}', {"a", "b"}),
        ('_h if {\n\tinput.action.tool == "a"\n} else if {\n\tinput.run.step > 3\n}', None),
        ('_h if {\n\tinput.action.tool == "a"\n} else := true', None),
        (f"default _h := true\n\n{IF_A}", None),
        ("default _h := true", None),
        ("default _h := false", None),
        (f"{IF_A}\n\n_h if input.run.step > 3", None),
        ('_h(_) if input.action.tool == "a"', None),
        ('_h contains 1 if input.action.tool == "a"', None),
        ('_h.x := 1 if input.action.tool == "a"', None),
    ],
)
def test_a_rule_that_is_named_narrows_only_when_every_branch_does(
    rego_dir: Path, opa: Path, helper: str, tools: set[str] | None
) -> None:
    _, module = parsed(rego_dir, opa, f"deny contains 1 if _h\n\n{helper}\n")
    scope = RuleScope(module, [module])
    assert scope.tools(module.rules[0]) == tools
    assert scope.named_tools(module.rules[0]) is None


def test_a_variable_with_the_name_of_a_rule_does_not_narrow(rego_dir: Path, opa: Path) -> None:
    _, module = parsed(rego_dir, opa, f"deny contains 1 if {{\n\t_h := true\n\t_h\n}}\n\n{IF_A}\n")
    assert RuleScope(module, [module]).tools(module.rules[0]) is None
