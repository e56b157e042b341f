"""`placet policy check --bench` prints what each pack costs at worst, and names the rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from placet.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

QUADRATIC: Final = """
# METADATA
# title: An item is named twice
# custom:
#   rule_id: refunds.duplicate
deny contains finding(rego.metadata.rule(), {}) if {
\tinput.action.tool == "look"
\tsome i, one in input.action.params.items
\tsome j, other in input.action.params.items
\ti < j
\tone == other
}
"""


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No placet.toml and no variables of this machine count."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLACET_REGO_DIR", raising=False)
    monkeypatch.delenv("PLACET_OPA_PATH", raising=False)


def exit_code_of_check(rego_dir: Path, opa: Path, *flags: str) -> int:
    arguments = ["--rego-dir", str(rego_dir), "--opa", str(opa), "--skip-lint", "--coverage-min", "0", "--bench"]
    return main(["policy", "check", *arguments, *flags])


@pytest.fixture
def quadratic(rego_dir: Path) -> Path:
    pack = rego_dir / "policy/refunds/refunds.rego"
    pack.write_text(pack.read_text() + QUADRATIC)
    schema = json.loads((rego_dir / "schemas/input.json").read_text())
    schema["properties"]["action"]["properties"]["params"] = {}
    (rego_dir / "schemas/input.json").write_text(json.dumps(schema))
    return rego_dir


def test_a_quadratic_rule_is_named_and_refused(quadratic: Path, opa: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of_check(quadratic, opa, "--max-us", "100000") == 1
    told = capsys.readouterr()
    [row] = [line for line in told.out.splitlines() if line.startswith("policy.refunds")]
    assert "refunds.duplicate (policy/refunds/refunds.rego:" in row
    assert "look" in row
    assert "more than the 100,000 us of --max-us" in told.err


def test_a_cost_alone_is_no_failure(quadratic: Path, opa: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of_check(quadratic, opa, "--output", "json") == 0
    [cost] = json.loads(capsys.readouterr().out)["costs"]
    assert (cost["pack"], cost["tool"], cost["tenant"]) == ("policy.refunds", "look", "acme")
    assert cost["growth"] > 0
    assert cost["microseconds"] > 0
    assert cost["rule"].startswith("refunds.duplicate (")


def test_cheap_packs_pass(rego_dir: Path, opa: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of_check(rego_dir, opa, "--max-us", "500000") == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert any(line.startswith("policy.refunds") for line in told.out.splitlines())


def test_a_policy_with_problems_is_not_measured(rego_dir: Path, opa: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rego_dir / "config/acme.yaml").write_text("agent_policy:\n  alowed_tools: []\n")
    assert exit_code_of_check(rego_dir, opa) == 1
    told = capsys.readouterr()
    assert "policy.refunds" not in told.out
    assert "costs: not measured, because a check failed" in told.err


def test_a_limit_without_a_measurement_is_refused(rego_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", "--rego-dir", str(rego_dir), "--max-us", "100000"]) == 2
    assert "--max-us: needs --bench" in capsys.readouterr().err
