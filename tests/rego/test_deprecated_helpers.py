"""Packs that use the deprecated names of placet.lib decide as packs that use the names of today."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from placet.policy.checks.check import check

if TYPE_CHECKING:
    from pathlib import Path

OLD_NAMES = """package policy.own

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: The tool is listed
# custom:
#   rule_id: own.listed
allow contains finding(rego.metadata.rule(), {"tool": lib.said(["action", "tool"])}) if {
	lib.listed
	lib.person_needed == false
}

# METADATA
# title: A write requires approval
# custom:
#   rule_id: own.write
require_approval contains finding(rego.metadata.rule(), {"quorum": 1, "approver_roles": [lib.said(["run", "x"])]}) if {
	lib.writes
	lib.person_needed == true
}

# METADATA
# title: Reads are blocked in production
# custom:
#   rule_id: own.read
deny contains finding(rego.metadata.rule(), {"environment": lib.said(["action", "environment"])}) if {
	lib.reads
	input.action.environment == "production"
}

# METADATA
# title: The tool is not listed
# custom:
#   rule_id: own.unlisted
deny contains finding(rego.metadata.rule(), {}) if {
	not lib.listed
	not lib.person_needed in [true, false]
}
"""
NEW_NAMES = {
    "said": "get_or_null",
    "reads": "is_read_tool",
    "writes": "is_write_tool",
    "listed": "is_listed",
    "person_needed": "approval_required",
}
TENANTS = {
    "acme": {
        "default_mode": "read_only",
        "allowed_tools": ["read", "export"],
        "write_tools": ["write", "merge", "unclear"],
        "approvals": {"export": {"required": True}, "merge": {"required": False}, "unclear": {}},
        "dry_run": {"required": [], "waives_approval": ["write"]},
    }
}


def renamed(pack: str) -> str:
    """The pack with the names of today."""
    for old, new in NEW_NAMES.items():
        pack = pack.replace(f"lib.{old}", f"lib.{new}")
    return pack


def decisions(rego: Path, opa: Path, folder: Path, pack: str) -> dict[str, Any]:
    """The decisions of the shipped policy with the pack, by the index of the request."""
    tree = folder / "rego"
    shutil.copytree(rego, tree, ignore=shutil.ignore_patterns("*_test.rego"))
    (tree / "policy" / "own").mkdir()
    (tree / "policy" / "own" / "own.rego").write_text(pack)
    (tree / "tenants").mkdir()
    (tree / "tenants" / "data.json").write_text(json.dumps(TENANTS))
    requests = [
        {"action": {"tool": tool, "environment": environment, "dry_run": dry_run}, "identity": {"tenant": "acme"}}
        for tool in ("read", "export", "write", "merge", "unclear", "erase")
        for environment in ("production", "staging")
        for dry_run in (False, True)
    ]
    command = [
        str(opa),
        "eval",
        "--bundle",
        str(tree),
        "--stdin-input",
        "--format",
        "raw",
        "{index: found | some index, request in input.batch; found := data.placet.main.decision with input as request}",
    ]
    ended = subprocess.run(command, input=json.dumps({"batch": requests}).encode(), capture_output=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    assert len(found) == len(requests)
    return found


def test_an_own_pack_decides_the_same_by_either_names(rego: Path, opa: Path, tmp_path: Path) -> None:
    old = decisions(rego, opa, tmp_path / "old", OLD_NAMES)
    new = decisions(rego, opa, tmp_path / "new", renamed(OLD_NAMES))
    assert renamed(OLD_NAMES) != OLD_NAMES
    assert old == new
    rule_ids = {finding["rule_id"] for decision in old.values() for finding in decision["findings"]}
    assert rule_ids >= {"own.listed", "own.write", "own.read", "own.unlisted"}
    assert {decision["effect"] for decision in old.values()} == {"allow", "deny", "require_approval"}


def test_an_own_pack_with_the_old_names_can_be_served(rego: Path, opa: Path, tmp_path: Path) -> None:
    tree = tmp_path / "rego"
    shutil.copytree(rego, tree)
    (tree / "policy" / "own").mkdir()
    (tree / "policy" / "own" / "own.rego").write_text(OLD_NAMES)
    steps = {step.name: step for step in check(tree, opa, None, skip_lint=True, coverage_percent_min=0)}
    assert [problem for name in ("compile", "rules", "values", "approvals") for problem in steps[name].problems] == []


@pytest.mark.parametrize("name", sorted(NEW_NAMES))
def test_each_deprecated_name_says_what_to_use(rego: Path, name: str) -> None:
    module = (rego / "placet/lib/deprecated.rego").read_text()
    assert f"# description: Deprecated. Use `{NEW_NAMES[name]}`.\n{name}" in module
