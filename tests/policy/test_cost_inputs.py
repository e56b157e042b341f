"""Inputs that show what a pack costs: every shape stands where the pack reads params."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from placet.kernel.limits import PARAMS_BYTES_MAX
from placet.policy.checks.cost_inputs import SHAPES, SIZES, cost_inputs, packs
from placet.policy.files.tenant_files import load_agent_policies
from placet.policy.files.tree import read_tree
from tests.serving import REGO_DIR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.tenants.policy import TenantPolicy


@pytest.fixture(scope="module")
def policies() -> Mapping[str, TenantPolicy]:
    return load_agent_policies(REGO_DIR)


def inputs(source: str, policies: Mapping[str, TenantPolicy], size: int = SIZES[0]) -> list[dict[str, Any]]:
    return [json.loads(each.document) for each in cost_inputs(source, policies, size)]


def test_values_stand_where_the_pack_reads(policies: Mapping[str, TenantPolicy]) -> None:
    source = """
    input.action.tool == "jira.search"
    some item in input.action.params.query.items
    lib.get_or_null(["action", "params", "project", "key"])
    input.action.params.query
    """
    asked = inputs(source, policies)
    assert {each["action"]["tool"] for each in asked} == {"jira.search"}
    assert len(asked) == len(SHAPES)
    for each in asked:
        assert set(each["action"]["params"]) == {"query", "project"}
        assert len(each["action"]["params"]["query"]["items"]) > 0
        assert len(each["action"]["params"]["project"]["key"]) > 0


def test_a_pack_that_reads_no_params_gets_some_nevertheless(policies: Mapping[str, TenantPolicy]) -> None:
    asked = inputs("deny if input.identity.agent == 1", policies)
    assert all(each["action"]["params"]["value"] for each in asked)
    tools = {each["action"]["tool"] for each in asked}
    assert tools & set(policies["acme"].allowed_tools)
    assert tools & set(policies["acme"].write_tools)


@pytest.mark.parametrize("size", SIZES)
def test_params_are_nearly_as_large_as_asked_for(policies: Mapping[str, TenantPolicy], size: int) -> None:
    for each in cost_inputs("", policies, size):
        assert 0.8 * size < each.params_bytes <= PARAMS_BYTES_MAX, each.shape


def test_the_packs_of_a_tree() -> None:
    found = packs(read_tree(REGO_DIR))
    assert {"policy.refunds", "policy.tickets", "placet.baseline.allowlist"} <= set(found)
    assert "placet.lib" not in found
    assert "stripe.refund" in found["policy.refunds"]


def test_the_input_has_the_facts_of_a_decision(policies: Mapping[str, TenantPolicy]) -> None:
    asked = inputs('input.action.tool in {"stripe.refund", "kb.search"}', policies)
    facts = {each["action"]["tool"]: each["facts"] for each in asked}
    assert facts["stripe.refund"]["tool"]["class"] == "write"
    assert facts["stripe.refund"]["params_schema"]["violations"], "these params match no schema"
    assert facts["kb.search"]["tool"]["class"] == "read"
    assert "params_schema" not in facts["kb.search"]
