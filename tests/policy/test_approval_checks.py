"""Approvals that rules ask for and nobody could give, or that no decision could believe: found before serving."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import PolicyInvalidError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.check import check, serving_problems
from placet.policy.files.staging import staged
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import read_tree
from tests.serving import REGO_DIR

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """package policy.extra

import data.placet.lib
import data.placet.lib.finding

# METADATA
# title: Somebody has to look
# custom:
#   rule_id: extra.look
"""
DEFAULTS = "defaults: {roles: [support_lead], quorum: 1}\n"
HELPERS = """
_config := lib.pack_config("extra")

_roles := object.get(_config, "roles", null)

_quorum := _config.quorum

_refund if input.action.tool == "stripe.refund"

_refund if input.action.tool == "stripe.charge"

_release if input.action.tool in {"deploy.release", "github.open_pull_request"}

_by_amount := 3 if input.action.amount.minor_units > 10

_by_amount := 1 if not input.action.amount
"""
WHERE = "policy/extra/extra.rego:10"
REFUND = 'input.action.tool == "stripe.refund"'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The shipped policy without its tests, of which initech names its approvers: two leads, two of finance."""
    copy = tmp_path / "rego"
    shutil.copytree(REGO_DIR, copy, ignore=shutil.ignore_patterns("*_test.rego"))
    return copy


def write(tree: Path, details: str, body: str = REFUND, defaults: str = DEFAULTS) -> None:
    folder = tree / "policy/extra"
    folder.mkdir()
    rule = f"require_approval contains finding(rego.metadata.rule(), {details}) if {{\n\t{body}\n}}\n"
    (folder / "extra.rego").write_text(HEAD + rule + HELPERS)
    (folder / "data.yaml").write_text(defaults)


def configure(tree: Path, tenant: str, text: str) -> None:
    path = tree / f"config/{tenant}.yaml"
    path.write_text(path.read_text().replace("  packs:\n", f"  packs:\n    extra: {text}\n"))


def problems(tree: Path, opa: Path) -> list[str]:
    read = read_tree(tree)
    with staged(read, tests=False) as stage:
        found = serving_problems(read, parse_tenants(read), stage, opa)
    return [str(problem).removeprefix(f"{tree}/") for problem in found]


def without(detail: str, remedy: str) -> str:
    return f"extra.look requires an approval without {detail}, so the decision would be a deny ({remedy})"


def unknown_key(key: str, remedy: str) -> str:
    return f"the details of extra.look have the key {key}, which Placet does not read ({remedy})"


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            "{}",
            [
                without("quorum", "add quorum to its details"),
                without("approver_roles", "add approver_roles to its details"),
            ],
        ),
        ('{"quorm": 2, "approver_roles": []}', [without("quorum", "did you mean quorum, not quorm?")]),
        (
            '{"quorum": 2, "approver_role": ["support_lead"]}',
            [without("approver_roles", "did you mean approver_roles, not approver_role?")],
        ),
        (
            '{"quorum": 1, "approver_roles": [], "distinct_role": true}',
            [unknown_key("distinct_role", "did you mean distinct_roles?")],
        ),
        (
            '{"quorum": 1, "approver_roles": [], "expires_after_second": 60}',
            [unknown_key("expires_after_second", "did you mean expires_after_seconds?")],
        ),
    ],
)
def test_details_without_what_an_approval_needs(tree: Path, opa: Path, details: str, told: list[str]) -> None:
    write(tree, details)
    assert problems(tree, opa) == [f"{WHERE}: {each}" for each in told]


QUORUM = "details.quorum must be an integer of 1 to 16"
ROLES = "details.approver_roles must be a list of non-empty strings; [] means any role"


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ('{"quorum": 0, "approver_roles": []}', QUORUM),
        ('{"quorum": 17, "approver_roles": []}', QUORUM),
        ('{"quorum": "2", "approver_roles": []}', QUORUM),
        ('{"quorum": 1.5, "approver_roles": []}', QUORUM),
        ('{"quorum": 1, "approver_roles": "support_lead"}', ROLES),
        ('{"quorum": 1, "approver_roles": [""]}', ROLES),
        ('{"quorum": 1, "approver_roles": null}', ROLES),
        (
            '{"quorum": 1, "approver_roles": [], "distinct_roles": "yes"}',
            "details.distinct_roles must be true or false",
        ),
        (
            '{"quorum": 1, "approver_roles": [], "expires_after_seconds": 0}',
            "details.expires_after_seconds must be an integer of 1 to 604800",
        ),
        (
            '{"quorum": 2, "approver_roles": ["support_lead"], "distinct_roles": true}',
            "the quorum needs 2 distinct roles, but only 1 may approve for all of them",
        ),
    ],
)
def test_an_approval_that_no_decision_could_believe(tree: Path, opa: Path, details: str, told: str) -> None:
    write(tree, details)
    [problem] = problems(tree, opa)
    assert problem.startswith(f"{WHERE}: extra.look: {told} (correct the details, or packs.extra of config/")


ASKS = "extra.look requires an approval that tenant initech cannot give: "


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (
            '{"quorum": 1, "approver_roles": ["support_lead", "support_led"]}',
            ["support_led is not an approver group (did you mean support_lead?)"],
        ),
        (
            '{"quorum": 1, "approver_roles": ["boss"]}',
            [
                "boss is not an approver group (known: finance, support_lead)",
                "1 person must approve, but no one may (lower it, or name more people under approver_groups)",
            ],
        ),
        (
            '{"quorum": 3, "approver_roles": ["support_lead"]}',
            ["3 people must approve, but only 2 may (lower it, or name more people under approver_groups)"],
        ),
        (
            '{"quorum": 5, "approver_roles": []}',
            ["5 people must approve, but only 4 may (lower it, or name more people under approver_groups)"],
        ),
        ('{"quorum": 4, "approver_roles": []}', []),
        ('{"quorum": 2, "approver_roles": ["finance", "support_lead"], "distinct_roles": true}', []),
        (
            '{"quorum": 5, "approver_roles": input.action.params.roles}',
            ["5 people must approve, but only 4 may (lower it, or name more people under approver_groups)"],
        ),
    ],
)
def test_an_approval_that_the_people_of_a_tenant_could_not_give(
    tree: Path, opa: Path, details: str, told: list[str]
) -> None:
    write(tree, details)
    assert problems(tree, opa) == [f"{WHERE}: {ASKS}{each}" for each in told]


def test_settings_of_a_pack_are_computed_for_each_tenant(tree: Path, opa: Path) -> None:
    write(tree, '{"quorum": _quorum, "approver_roles": _roles}')
    assert problems(tree, opa) == []
    configure(tree, "globex", "{roles: [boss], quorum: 16}")  # it names no approver_groups: nobody can tell
    assert problems(tree, opa) == []
    configure(tree, "initech", "{roles: [finance], quorum: 3}")
    assert problems(tree, opa) == [
        f"{WHERE}: {ASKS}3 people must approve, but only 2 may (lower it, or name more people under approver_groups)"
    ]


def test_a_setting_that_the_pack_does_not_have_is_refused(tree: Path, opa: Path) -> None:
    write(tree, '{"quorum": _quorum, "approver_roles": _roles}', defaults="defaults: {roles: [support_lead]}\n")
    [problem] = problems(tree, opa)
    assert problem.endswith("the pack extra has no setting quorum (known: roles)")


@pytest.mark.parametrize(
    "body",
    [
        'input.action.tool == "deploy.release"',
        '"deploy.release" == input.action.tool',
        'input.action.tool in {"deploy.release", "github.open_pull_request"}',
        'input.action.tool in ["deploy.release"]',
        "_release",
        'input.facts.tool.class == "write"\n\t_release\n\tinput.action.params.x > 1',
        f'{REFUND}\n\tinput.identity.tenant == "acme"',
        f'{REFUND}\n\tinput.identity.tenant in {{"acme", "globex"}}',
    ],
)
def test_a_tenant_that_a_rule_is_not_about_needs_nobody_for_it(tree: Path, opa: Path, body: str) -> None:
    write(tree, '{"quorum": 5, "approver_roles": ["boss"]}', body)
    assert problems(tree, opa) == []


@pytest.mark.parametrize(
    "body", ["_refund", 'input.facts.tool.class == "write"', 'not input.action.tool == "deploy.release"']
)
def test_a_rule_that_may_be_about_a_tenant_is_looked_at(tree: Path, opa: Path, body: str) -> None:
    write(tree, '{"quorum": 5, "approver_roles": []}', body)
    assert len(problems(tree, opa)) == 1


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (f"{REFUND}\n\twanted := input.action.params.quorum\n\twanted > 2", '{"quorum": wanted, "approver_roles": []}'),
        (REFUND, '{"quorum": _by_amount, "approver_roles": []}'),
        (REFUND, 'object.union({"quorum": 99}, {"approver_roles": input.action.params.roles})'),
    ],
)
def test_what_only_a_request_can_tell_is_left_to_the_decision(tree: Path, opa: Path, body: str, details: str) -> None:
    write(tree, details, body)
    assert problems(tree, opa) == []


def test_details_that_the_body_sets_are_looked_at(tree: Path, opa: Path) -> None:
    write(tree, "told", f'{REFUND}\n\ttold := {{"quorum": 5, "approver_roles": []}}')
    assert len(problems(tree, opa)) == 1


def test_it_is_found_by_the_check_and_at_load(tree: Path, opa: Path, tmp_path: Path) -> None:
    write(tree, '{"quorum": 5, "approver_roles": []}')
    steps = {step.name: step for step in check(tree, opa, None, skip_lint=True, coverage_percent_min=0)}
    assert [problem.where for problem in steps["approvals"].problems] == [f"{tree}/{WHERE}"]
    with pytest.raises(PolicyInvalidError, match="5 people must approve, but only 4 may"):
        build_bundle(tree, opa, tmp_path / "bundles")
