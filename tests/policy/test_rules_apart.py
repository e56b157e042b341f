"""The rules of a policy are checked in a process apart, once, and in time that grows with their number."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from placet.kernel.errors import ConfigurationError
from placet.policy.bundles.compiled import DATA, compiled_files
from placet.policy.checks import rules_apart
from placet.policy.checks.rule_check import RuleCheck, check_rules
from placet.policy.checks.rules_apart import check_rules_apart
from placet.policy.files.staging import staged, tenants_document
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import read_tree
from placet.policy.rego.modules import parse_modules
from placet.policy.rego.rule_scope import RuleScope
from placet.tenants.tool_settings import tool_settings
from tests.bench import policies

if TYPE_CHECKING:
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree


@pytest.fixture(autouse=True)
def _nothing_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_apart, "_PASSED", type(rules_apart._PASSED)())


def counting(monkeypatch: pytest.MonkeyPatch) -> list[PolicyTree]:
    """Return a list to which each tree that a child checks is appended."""
    checked: list[PolicyTree] = []
    real = rules_apart._checked

    def note(tree: PolicyTree, opa: Path) -> RuleCheck:
        checked.append(tree)
        return real(tree, opa)

    monkeypatch.setattr(rules_apart, "_checked", note)
    return checked


def test_the_child_finds_what_this_process_finds(rego_dir: Path, opa: Path) -> None:
    tree = read_tree(rego_dir)
    assert check_rules_apart(tree, opa) == check_rules(tree, opa)
    name = "policy/refunds/refunds.rego"
    wrong = replace(tree, modules={**tree.modules, name: tree.modules[name].replace(b"rule_id: ", b"rule: ", 1)})
    found = check_rules_apart(wrong, opa)
    assert found == check_rules(wrong, opa)
    assert found.problems


def test_rules_that_passed_are_not_checked_again(rego_dir: Path, opa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = counting(monkeypatch)
    tree = read_tree(rego_dir)
    first = check_rules_apart(tree, opa)
    others = replace(tree, tenants=dict.fromkeys(tree.tenants, b"other"))
    assert check_rules_apart(others, opa) == first
    assert [each.tenants for each in checked] == [{}]
    changed = replace(tree, modules={name: content + b"\n" for name, content in tree.modules.items()})
    check_rules_apart(changed, opa)
    assert len(checked) == 2


def test_a_child_that_dies_approves_nothing(rego_dir: Path, opa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_apart, "MODULE", "placet.no_such_module")
    with pytest.raises(ConfigurationError, match="the process that checks the rules ended with 1"):
        check_rules_apart(read_tree(rego_dir), opa)


def test_without_opa_the_child_says_so(rego_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be run"):
        check_rules_apart(read_tree(rego_dir), tmp_path / "opa")


def calls_to_name_tools(folder: Path, opa: Path, rules: int) -> int:
    """Return how many Python calls it takes to find the tools of each rule of a pack."""
    folder.mkdir()
    tree = read_tree(policies.with_rules(folder, rules))
    with staged(tree, tests=False) as stage:
        modules = parse_modules(tree, stage, opa)
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        for module in modules:
            scope = RuleScope(module, modules)
            for rule in module.rules:
                scope.named_tools(rule)
    finally:
        sys.setprofile(None)
    return calls


def test_the_time_to_find_tools_grows_with_the_rules(tmp_path: Path, opa: Path) -> None:
    few, some, more = (calls_to_name_tools(tmp_path / str(rules), opa, rules) for rules in (100, 200, 300))
    assert more - some < 1.2 * (some - few)


def test_what_is_kept_of_a_tenant_is_its_document(rego_dir: Path) -> None:
    tree = read_tree(rego_dir)
    tenants = parse_tenants(tree)
    written = orjson.loads(tenants_document(tenants))
    assert list(written) == sorted(tenants)
    assert written == {tenant: orjson.loads(policy.data_json) for tenant, policy in tenants.items()}
    compiled = orjson.loads(compiled_files(tree, tenants)[DATA])
    assert compiled["tools"] == {tenant: tool_settings(policy) for tenant, policy in tenants.items()}
    assert list(compiled) == sorted(compiled)
