"""What `opa test` does not say of itself: it passes a test with cases that has none."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from typing import TYPE_CHECKING

from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.catalogue import catalogue

if TYPE_CHECKING:
    from pathlib import Path


def test_no_rego_test_passes_for_want_of_cases(rego: Path, opa: Path) -> None:
    with_cases = {
        (str(path.relative_to(rego)), name)
        for path in rego.rglob("*_test.rego")
        for name in re.findall(r"^(test_\w+)\[", path.read_text(), re.MULTILINE)
    }
    ended = subprocess.run([opa, "test", "-b", "--format", "json", "."], cwd=rego, capture_output=True, check=True)
    cases = {(test["location"]["file"], test["name"]): test.get("sub_results", {}) for test in json.loads(ended.stdout)}
    assert with_cases
    assert {test for test in with_cases if len(cases[test]) < 2} == set()


def test_every_module_is_in_the_bundle(rego: Path, opa: Path, tmp_path: Path) -> None:
    with tarfile.open(build_bundle(rego, opa, tmp_path).path) as archive:
        names = {name.removeprefix("/") for name in archive.getnames()}
    modules = {str(path.relative_to(rego)) for path in rego.rglob("*.rego") if not path.stem.endswith("_test")}
    assert {*modules, "placet/compiled/compiled.rego"} == {name for name in names if name.endswith(".rego")}


def test_every_rule_id_that_was_ever_shipped_is_still_there(rego: Path, opa: Path) -> None:
    shipped = {entry.rule_id for entry in catalogue(rego, opa) if entry.pack != "pdp"}
    assert shipped == {
        "JIRA_WRITE_ALLOWED_TICKETOPS",
        "allowlist.unlisted_tool",
        "approvals.read_only_mode",
        "approvals.required",
        "approvals.undetermined",
        "canary.alive",
        "deploys.freeze",
        "deploys.production",
        "deploys.protected_branch",
        "destinations.not_allowed",
        "dry_run.required",
        "environments.not_writable",
        "evidence.too_few",
        "refunds.amount_missing",
        "refunds.insufficient_privilege",
        "refunds.over_limit",
        "refunds.over_two_person_limit",
        "refunds.unknown_currency",
        "refunds.within_limit",
        "schemas.params_invalid",
        "tickets.project_not_allowed",
        "tickets.urgent",
        "tools.listed_read",
        "tools.listed_write",
    }
