"""The keys `agents` and `agents_mode` of a tenant's file."""

from __future__ import annotations

from typing import Any

import pytest

from placet.revisions.removals import lost_restrictions
from placet.tenants.policy import TenantPolicy
from tests.policy.test_agent_policy import faults

BOT: dict[str, Any] = {
    "owner": "team-payments",
    "purpose": "refunds up to 50 USD",
    "runtimes": ["spiffe://example.org/ns/agents/*"],
    "expires": "2027-01-31",
    "autonomy": "draft_only",
}


def test_policy_sees_the_register_so_the_revision_changes_with_it() -> None:
    data = TenantPolicy.model_validate({"agents": {"bot": BOT, "x*": {}}, "agents_mode": "open"}).as_data()
    assert data["agents"] == {"bot": BOT, "x*": {}}
    assert "agents_mode" not in data
    assert TenantPolicy.model_validate({"agents_mode": "strict"}).as_data()["agents_mode"] == "strict"


def test_policy_sees_the_rules_of_delegation() -> None:
    policy = TenantPolicy.model_validate({"delegation": {"require": "signed"}})
    assert policy.as_data()["delegation"] == {"depth_max": 16, "require": "signed"}


def test_the_data_of_a_file_without_a_register_is_as_before() -> None:
    policy = TenantPolicy.model_validate({})
    assert policy.compiled.agents is None
    assert policy.compiled.delegation is None
    assert {"agents", "agents_mode", "delegation"}.isdisjoint(policy.as_data())


@pytest.mark.parametrize(
    ("document", "place", "what"),
    [
        (
            {"agents_mode": "strict", "agents": {"bot": {}}},
            "agents.bot",
            "has no owner, which agents_mode: strict demands",
        ),
        ({"agents": {"bot": {}, "BOT": {}}}, "agents.BOT", "is another spelling of bot"),
        ({"agents_mode": "closed"}, "agents_mode", '"closed" is not known'),
        ({"agents": {"bot": {"ownr": "x"}}}, "agents.bot.ownr", "unknown key"),
        ({"agents": {"bot": {"expires": "soon"}}}, "agents.bot.expires", "should be a day such as 2027-01-31"),
        ({"agents": {"bot": {"expires": 2027}}}, "agents.bot.expires", "should be a day such as 2027-01-31"),
        ({"agents": {"bot": {"runtimes": []}}}, "agents.bot.runtimes", "should name at least one"),
        ({"delegation": {"require": "all"}}, "delegation.require", '"all" is not known'),
        ({"agents": {"bot": {"autonomy": "all"}}}, "agents.bot.autonomy", '"all" is not known'),
        ({"agents": {"*" * 9: {}}}, f'agents["{"*" * 9}"]', "has 9 *; at most 8 are accepted"),
    ],
)
def test_mistakes_name_their_place(document: dict[str, Any], place: str, what: str) -> None:
    [(found, said, remedy)] = faults(document)
    assert (found, said) == (place, what)
    assert remedy or place.endswith(("expires", "runtimes", "]"))


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        ({"agents_mode": "strict", "agents": {"bot": BOT}}, []),
        ({"agents": {"bot": BOT}}, [("agents_mode",)]),
        ({"agents_mode": "strict"}, [("agents",)]),
        ({"agents_mode": "strict", "agents": {"bot": {**BOT, "runtimes": []}}}, []),
        *(
            ({"agents_mode": "strict", "agents": {"bot": {k: v for k, v in BOT.items() if k != key}}}, lost)
            for key, lost in {
                "owner": [],
                "purpose": [],
                "expires": [("agents", "bot", "expires")],
                "autonomy": [("agents", "bot", "autonomy")],
                "runtimes": [("agents", "bot", "runtimes")],
            }.items()
        ),
    ],
)
def test_what_a_new_file_lost(after: dict[str, Any], lost: list[tuple[str, ...]]) -> None:
    assert [*lost_restrictions({"agents_mode": "strict", "agents": {"bot": BOT}}, after)] == lost
