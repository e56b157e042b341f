from __future__ import annotations

import json
from pathlib import Path

import pytest

from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.check import check
from placet.policy.toolchain.process import run

REGO = Path(__file__).resolve().parents[2] / "rego"


def test_the_shipped_policy_passes_what_must_pass_before_serving(opa: Path) -> None:
    steps = {step.name: step for step in check(REGO, opa, None, skip_lint=True)}
    for name in ("files", "tenants", "compile", "rules", "values", "format"):
        assert steps[name].problems == (), name
        assert steps[name].skipped == "", name


def test_the_shipped_policy_is_built_and_answers_the_canary(opa: Path, tmp_path: Path) -> None:
    bundle = build_bundle(REGO, opa, tmp_path)
    assert bundle.agent_policies
    question = {"batch": [{"action": {"tool": "placet.canary"}}]}
    arguments = ["eval", "--bundle", str(bundle.path), "--format", "raw", "--stdin-input", "data.placet.main.decisions"]
    answer = json.loads(run(opa, arguments, stdin=json.dumps(question).encode()).stdout)
    assert [[finding["rule_id"] for finding in pack] for pack in answer["0"]["deny"] if pack] == [["canary.alive"]]
    assert not any(answer["0"]["require_approval"] + answer["0"]["allow"])


@pytest.mark.parametrize("path", sorted(REGO.glob("config/*.yaml")), ids=lambda path: path.stem)
def test_each_shipped_tenant_is_in_the_bundle(path: Path, opa: Path, tmp_path: Path) -> None:
    bundle = build_bundle(REGO, opa, tmp_path)
    query = f'data.tenants["{path.stem}"]'
    data = json.loads(run(opa, ["eval", "--bundle", str(bundle.path), "--format", "raw", query]).stdout)
    assert set(data) == set(bundle.agent_policies[path.stem].as_data())
