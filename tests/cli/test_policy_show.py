"""`placet policy show`: the settings of a tool as policy reads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from placet.cli.commands.policy.policy import app
from placet.cli.commands.policy.show import compiled_form
from placet.kernel.errors import ConfigurationError

REGO = Path(__file__).resolve().parents[2] / "rego"


def test_the_compiled_settings_of_a_tool_and_of_the_packs() -> None:
    document = compiled_form(REGO, "acme", "http.fetch")
    assert document["settings"] == {
        "class": "read",
        "approval_required": False,
        "destinations": ["^(?s:[^./:@?#\\\\]*\\.acme\\.example)$", "^(?s:acme\\.example)$"],
        "params_schema": True,
    }
    assert document["packs"]["refunds"]["role"] == "support_refunds"
    freezes = document["packs"]["deploys"]["freezes"]
    assert {"year_end", "ledger_migration"} <= freezes.keys()  # the pack's own, and the tenant's


def test_every_kind_of_setting(tmp_path: Path) -> None:
    root = tmp_path / "rego"
    shutil.copytree(REGO, root)
    (root / "config" / "acme.yaml").write_text(
        "agent_policy:\n  write_tools: [w, free]\n  allowed_tools: [r]\n"
        "  approvals: {r: {quorum: 2, approver_roles: [lead]}, free: not_required}\n"
        "  environments: {write: [staging]}\n"
        "  evidence: {w: {min_items: 1}}\n  dry_run: {required: [w], waives_approval: [w]}\n"
    )
    approval = compiled_form(root, "acme", "r")["settings"]["approval"]
    assert (approval["required"], approval["quorum"], approval["approver_roles"]) == (True, 2, ["lead"])
    assert compiled_form(root, "acme", "w")["settings"] == {
        "class": "write",
        "approval_required": True,
        "environments": ["staging"],
        "evidence": {"min_items": 1},
        "dry_run_required": True,
        "dry_run_waives_approval": True,
    }
    free = {"class": "write", "approval_required": False, "environments": ["staging"]}
    assert compiled_form(root, "acme", "free")["settings"] == free


def test_a_table_for_people_and_json_for_programs() -> None:
    arguments = ["show", "--tenant", "acme", "--tool", "stripe.refund", "--rego-dir", str(REGO)]
    table = CliRunner().invoke(app, arguments)
    assert table.exit_code == 0
    assert any(line.split() == ["lib.tool.class", "write"] for line in table.output.splitlines())
    document = json.loads(CliRunner().invoke(app, [*arguments, "--output", "json"]).output)
    assert (document["tenant"], document["tool"]) == ("acme", "stripe.refund")
    assert document["settings"]["class"] == "write"
    assert document["packs"]["refunds"]["currencies"]["USD"]["approval_over_minor_units"] == 10000


@pytest.mark.parametrize(
    ("tenant", "tool", "what"),
    [
        ("acmee", "stripe.refund", "no tenant 'acmee'; did you mean acme?"),
        ("acme", "stripe.refnd", "is in neither allowed_tools nor write_tools"),
        ("acme", "stripe.refnd", "did you mean stripe.refund?"),
    ],
)
def test_an_unknown_tenant_or_tool_names_the_nearest(tenant: str, tool: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        compiled_form(REGO, tenant, tool)
    assert what in str(refused.value)
