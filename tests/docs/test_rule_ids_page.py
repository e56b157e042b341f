"""docs/reference/rule-ids.md lists exactly the rule ids that a decision can carry."""

from __future__ import annotations

import json

import pytest

from placet.cli import main as cli
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.kill_switches.model import KillScope, KillSwitch
from placet.kernel import rule_ids
from placet.sdk import failures
from tests.docs.blocks import ROOT
from tests.docs.tables import DOCS, by_name, sections

PAGE = DOCS / "reference/rule-ids.md"


def test_shipped_rules_stand_as_the_catalogue_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["policy", "catalogue", "--rego-dir", str(ROOT / "rego"), "--output", "json"]) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    shipped = {rule["rule_id"]: (rule["effect"], rule["pack"], rule["title"]) for rule in rules if rule["where"]}
    assert {rule_id: row[:3] for rule_id, row in by_name(PAGE, "Shipped packs").items()} == shipped


def test_denials_of_placets_own() -> None:
    documented = by_name(PAGE, "Placet's own denials")
    assert {rule_id: row[0] for rule_id, row in documented.items()} == rule_ids.REASONS
    assert documented.keys().isdisjoint(rule_ids.RETIRED)


def test_ids_from_state() -> None:
    documented = by_name(PAGE, "Ids from state")
    assert {rule_id: row[0] for rule_id, row in documented.items()} == rule_ids.CORE_REASONS
    scopes = {KillSwitch("", scope, "", "", "", "", 0).rule_id for scope in KillScope}
    levels = {f"autonomy.{level}" for level in AutonomyLevel if level is not AutonomyLevel.EXECUTE}
    assert scopes | levels <= documented.keys()
    for prefix in rule_ids.OWN_PREFIXES:
        assert f"`{prefix}`" in sections(PAGE)["Ids from state"]


def test_ids_that_clients_give() -> None:
    documented = by_name(PAGE, "Ids of the SDK and the command")
    assert {rule_id: row[0] for rule_id, row in documented.items()} == failures.REASONS


@pytest.mark.parametrize(
    "heading", ["Shipped packs", "Placet's own denials", "Ids from state", "Ids of the SDK and the command"]
)
def test_each_id_says_what_to_do(heading: str) -> None:
    for rule_id, row in by_name(PAGE, heading).items():
        assert row[-1], rule_id
