from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519

from placet.cli.main import main
from placet.kernel.rule_ids import REASONS
from placet.policy.bundles.bundle import build_bundle
from placet.policy.bundles.release import MANIFEST, read_release
from placet.policy.files.archive import unpack
from tests.policy.test_release import write_private

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No placet.toml and no variables of this machine count."""
    monkeypatch.chdir(tmp_path)
    for name in ("PLACET_REGO_DIR", "PLACET_OPA_PATH"):
        monkeypatch.delenv(name, raising=False)


Placet = Callable[..., "Ran"]


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def placet(capsys: pytest.CaptureFixture[str]) -> Placet:
    """Run `placet policy` as the program does."""

    def run(*arguments: object) -> Ran:
        code = main(["policy", *map(str, arguments)])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def test_check_of_a_good_tree(placet: Placet, rego_dir: Path, opa: Path) -> None:
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["files", "ok", "3", "modules,", "2", "test", "files,", "1", "tenants"]
    assert lines[-1] == ["lint", "skipped", "--skip-lint"]


def test_check_of_a_wrong_tree(placet: Placet, rego_dir: Path, opa: Path) -> None:
    (rego_dir / "config/acme.yaml").write_text("agent_policy:\n  alowed_tools: []\n  pii: 3\n")
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint")
    assert result.exit_code == 1
    assert "2 wrong" in result.stdout
    assert result.stderr.splitlines() == [
        f"{rego_dir}/config/acme.yaml:3: agent_policy.pii: should be a mapping, not the number 3",
        f"{rego_dir}/config/acme.yaml:2: agent_policy.alowed_tools: unknown key (did you mean allowed_tools?)",
    ]


def test_check_warns_of_an_amount_beside_an_open_schema(placet: Placet, rego_dir: Path, opa: Path) -> None:
    file = rego_dir / "config/acme.yaml"
    policy = yaml.safe_load(file.read_text())
    policy["agent_policy"]["tools"]["pay"]["bind"] = {"amount": "/amount", "currency": "USD", "unit": "minor"}
    file.write_text(yaml.safe_dump(policy))
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint", "--output", "json")
    assert result.exit_code == 0
    [tenants] = [step for step in json.loads(result.stdout)["steps"] if step["name"] == "tenants"]
    assert tenants["detail"].startswith("warning: an amount is bound beside an open params_schema")
    assert tenants["detail"].endswith(": acme: pay")
    policy["agent_policy"]["tools"]["pay"]["bind"]["currency"] = "/amount"
    file.write_text(yaml.safe_dump(policy))
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint")
    assert result.exit_code == 1
    assert "tools.pay.bind.currency: /amount overlaps with the pointer of amount" in result.stderr


def test_check_warns_of_a_schema_that_nothing_reads(placet: Placet, rego_dir: Path, opa: Path) -> None:
    for name in ("pay.json", "stripe.refund.json", "named.json"):
        (rego_dir / "schemas" / name).write_text('{"type": "object"}')
    module = rego_dir / "policy/refunds/refunds.rego"
    module.write_text(module.read_text() + "\n# Reads schema.named, as METADATA would.\n")
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint", "--output", "json")
    files = json.loads(result.stdout)["steps"][0]
    assert files["problems"] == []
    assert "warning: nothing reads a schema (write a tool's as params_schema in its tenant's file)" in files["detail"]
    assert files["detail"].endswith(": schemas/pay.json, schemas/stripe.refund.json")


def test_check_for_programs(placet: Placet, rego_dir: Path, opa: Path) -> None:
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint", "--output", "json")
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert found["rego_dir"] == str(rego_dir)
    assert found["steps"][0] == {
        "name": "files",
        "problems": [],
        "skipped": "",
        "detail": "3 modules, 2 test files, 1 tenants",
    }
    (rego_dir / "config/acme.yaml").unlink()
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--skip-lint", "--output", "json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert found["steps"][1]["problems"] == [
        {
            "where": f"{rego_dir}/config",
            "what": "there is no tenant file",
            "remedy": "add config/<tenant>.yaml with the key agent_policy",
        }
    ]


def test_the_setting_names_the_folder(
    placet: Placet, rego_dir: Path, opa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACET_REGO_DIR", str(rego_dir))
    monkeypatch.setenv("PLACET_OPA_PATH", str(opa))
    assert placet("check", "--skip-lint").exit_code == 0


def test_the_tests_alone(placet: Placet, rego_dir: Path, opa: Path) -> None:
    result = placet("test", "--rego-dir", rego_dir, "--opa", opa)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "2 passed, 100.0 % of lines covered"
    assert ["policy/refunds/refunds.rego", "100.0", "%"] in [line.split() for line in result.stdout.splitlines()]
    result = placet("test", "--rego-dir", rego_dir, "--opa", opa, "--output", "json")
    found = json.loads(result.stdout)
    assert (found["ok"], found["passed"], found["percent"], found["problems"]) == (True, 2, 100.0, [])
    assert found["coverage"][0] == {"file": "placet/lib/lib.rego", "covered": 1, "lines": 1, "missed": []}


def test_tests_that_fail(placet: Placet, rego_dir: Path, opa: Path) -> None:
    path = rego_dir / "policy/refunds/refunds_test.rego"
    path.write_text(path.read_text() + "\ntest_wrong if 1 == 2\n")
    result = placet("test", "--rego-dir", rego_dir, "--opa", opa)
    assert result.exit_code == 1
    assert result.stdout == "2 passed\n"
    assert result.stderr == f"{path}:9: test_wrong failed\n"


def test_the_catalogue(placet: Placet, rego_dir: Path, opa: Path) -> None:
    result = placet("catalogue", "--rego-dir", rego_dir, "--opa", opa, "--output", "json")
    assert result.exit_code == 0
    rules = json.loads(result.stdout)["rules"]
    assert [rule["rule_id"] for rule in rules] == sorted([*REASONS, "refunds.over_limit"])
    where = f"{rego_dir}/policy/refunds/refunds.rego:9"
    title = "A refund above the limit needs a person"
    assert rules[-1] == {
        "rule_id": "refunds.over_limit",
        "title": title,
        "effect": "deny",
        "pack": "refunds",
        "where": where,
    }
    result = placet("catalogue", "--rego-dir", rego_dir, "--opa", opa, "--output", "md")
    assert result.stdout.splitlines()[:2] == [
        "| rule_id | effect | pack | title | where |",
        "| --- | --- | --- | --- | --- |",
    ]
    assert result.stdout.splitlines()[-1] == f"| `refunds.over_limit` | deny | refunds | {title} | {where} |"
    result = placet("catalogue", "--rego-dir", rego_dir, "--opa", opa)
    assert result.stdout.split()[:5] == ["rule_id", "effect", "pack", "title", "where"]
    assert "refunds.over_limit" in result.stdout


def test_a_catalogue_of_what_is_invalid(placet: Placet, rego_dir: Path, opa: Path) -> None:
    path = rego_dir / "policy/refunds/refunds.rego"
    path.write_text(path.read_text().replace("refunds.over_limit", "pdp.mine"))
    result = placet("catalogue", "--rego-dir", rego_dir, "--opa", opa)
    assert result.exit_code == 2
    assert result.stdout == ""
    whose = "pdp., budgets., limits., kill_switch., autonomy., bindings. and some of approvals. are reserved"
    said = f"the rule_id pdp.mine is reserved for Placet (choose another: {whose})"
    assert result.stderr == f"placet: {path}:9: {said}\n"
    path.write_text("nonsense")
    result = placet("catalogue", "--rego-dir", rego_dir, "--opa", opa)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, f"placet: {path}:1: package expected")


@pytest.mark.parametrize("command", ["check", "test", "catalogue"])
def test_what_is_set_up_wrongly(placet: Placet, command: str, rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    result = placet(command, "--rego-dir", tmp_path / "none", "--opa", opa)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"placet: {tmp_path}/none: no such policy folder; name yours with --rego-dir")
    assert len(result.stderr.splitlines()) == 1
    wrong = tmp_path / "opa"
    wrong.write_text("#!/bin/sh\necho 'Version: 1.17.0'\n")
    wrong.chmod(0o755)
    result = placet(command, "--rego-dir", rego_dir, "--opa", wrong)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"placet: {wrong}: is OPA 1.17.0, but Placet needs OPA ")
    assert len(result.stderr.splitlines()) == 1


def test_a_linter_that_is_none(placet: Placet, rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    result = placet("check", "--rego-dir", rego_dir, "--opa", opa, "--regal", tmp_path / "regal")
    assert (result.exit_code, result.stderr) == (
        2,
        f"placet: {tmp_path}/regal: is not an executable file; run `placet tools install`\n",
    )


def test_unknown_options_are_wrong_usage(placet: Placet) -> None:
    assert placet("check", "--coverage-min", "101").exit_code == 2
    assert placet("catalogue", "--output", "yaml").exit_code == 2


def test_a_bundle_for_an_opa_of_ones_own(placet: Placet, rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    result = placet("bundle", file, "--rego-dir", rego_dir, "--opa", opa)
    served = build_bundle(rego_dir, opa, tmp_path / "bundles")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{served.revision}\n", "")
    assert unpack(file.read_bytes()).items() >= {**unpack(served.content), MANIFEST: ANY}.items()
    nowhere = tmp_path / "none/bundle.tar.gz"
    result = placet("bundle", nowhere, "--rego-dir", rego_dir, "--opa", opa)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{nowhere}: cannot be written: No such file or directory" in result.stderr


def test_a_signed_bundle_is_reproducible(
    placet: Placet, rego_dir: Path, opa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = write_private(ed25519.Ed25519PrivateKey.generate(), tmp_path / "key.pem")
    common = ("--rego-dir", rego_dir, "--opa", opa, "--signing-key", key)
    assert placet("bundle", tmp_path / "one", *common, "--created-at", "2023-11-14T23:13:20+01:00").exit_code == 0
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert placet("bundle", tmp_path / "two", *common).exit_code == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_release((tmp_path / "one").read_bytes(), ()).created_at_us == 1_700_000_000_000_000
    result = placet("bundle", tmp_path / "three", *common, "--created-at", "yesterday")
    assert (result.exit_code, "must be a time with its zone" in result.stderr) == (2, True)


def test_no_bundle_of_what_must_not_be_served(placet: Placet, rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    path = rego_dir / "policy/refunds/refunds.rego"
    path.write_text(path.read_text().replace("deny contains", "require_approval contains"))
    result = placet("bundle", tmp_path / "bundle.tar.gz", "--rego-dir", rego_dir, "--opa", opa)
    assert result.exit_code == 2
    assert f"{path}:9: refunds.over_limit requires an approval without quorum" in result.stderr
    assert not (tmp_path / "bundle.tar.gz").exists()
