"""docs/policy-guide.md: each key of a tenant's file, those not enforced yet, the steps of the check."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from placet.core.agent_policy import AgentPolicy
from placet.core.agent_policy_faults import _SECTIONS, NOT_ENFORCED_YET, agent_policy_faults
from placet.opa.check import STEPS
from tests.docs.blocks import blocks
from tests.docs.tables import DOCS, by_name, rows, sections

PAGE = DOCS / "policy-guide.md"


def dotted(path: tuple[str, ...]) -> str:
    return ".".join("<tool>" if part == "*" else part for part in path)


def enforced() -> set[str]:
    """Every key that has an effect of its own, and `approvals`, whose value may be a word as well."""
    parents = {path[: depth + 1] for path in _SECTIONS for depth in range(len(path))}
    keys = {(*path, name) for path, section in _SECTIONS.items() for name in section.model_fields}
    return {dotted(key) for key in keys if key not in parents} | {"approvals"}


def later() -> set[tuple[str, ...]]:
    return {(*path, name) for path, section in _SECTIONS.items() for name in section.LATER}


def test_every_key_has_its_row_and_no_other() -> None:
    assert by_name(PAGE, "agent_policy").keys() == enforced()


def test_every_key_that_is_not_enforced_yet_is_listed_and_no_other() -> None:
    assert {row[0] for row in rows(PAGE, "Not enforced yet")} == {dotted(key) for key in later()}


@pytest.mark.parametrize("key", sorted(later()), ids=dotted)
def test_what_is_listed_so_is_refused_so(key: tuple[str, ...]) -> None:
    value: object = 1
    for part in reversed(key):
        value = {"jira.search" if part == "*" else part: value}
    assert isinstance(value, dict)
    with pytest.raises(ValidationError) as refused:
        AgentPolicy.model_validate({"allowed_tools": ["jira.search"], **value})
    assert NOT_ENFORCED_YET in {fault.what for fault in agent_policy_faults(refused.value)}


def test_the_example_is_accepted_and_says_every_key() -> None:
    [example] = [block.text for block in blocks(PAGE) if block.language == "yaml" and "default_mode" in block.text]
    said = yaml.safe_load(example)["agent_policy"]
    AgentPolicy.model_validate(said)
    assert said.keys() == AgentPolicy.model_fields.keys()


def test_every_step_of_the_check_has_its_row_in_order() -> None:
    assert [row[0] for row in rows(PAGE, "placet policy check")] == list(STEPS)


def test_defaults_are_those_of_the_code() -> None:
    documented = {key: row[1] for key, row in by_name(PAGE, "agent_policy").items()}
    empty = AgentPolicy()
    assert documented["default_mode"] == empty.default_mode
    assert documented["pii.redact"] == str(empty.pii.redact).lower()


def test_traps_are_there() -> None:
    assert sections(PAGE)["Traps"].count("\n**") >= 7
