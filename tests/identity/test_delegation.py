"""Delegation: no hop hands on what it was not given, no principal appears twice, and whoever delegates cannot vote."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placet.approvals.model import ApprovalState
from placet.identity.delegation import DelegationProof, DelegationRules, delegation_denial
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.limits import DELEGATION_MAX
from placet.kernel.model import DelegationHop, Effect, Identity
from placet.matching.globs import glob_contains, glob_matches
from placet.matching.names import folded
from placet.matching.person import Person
from tests.support.decision_env import DecisionEnv
from tests.support.fakes import APPROVAL_REQUIRED, verdict

LETTERS = "ab."
PATTERNS = st.text(f"{LETTERS}*?", min_size=1, max_size=5)
NAMES = ["".join(letters) for size in range(1, 6) for letters in itertools.product(LETTERS, repeat=size)]
TOOLS = st.sampled_from(["pay", "mail", "jira.search", "jira.create", "a"])
SCOPES = st.sampled_from(["*", "p*", "pay", "jira.*", "jira.?earch", "mail", "?", "?*", "*a*"])
PRINCIPALS = st.sampled_from(["anna", "ANNA", "planner", "worker", "\uff57orker", "bot", "x", "y"])
CHAINS = st.lists(
    st.builds(
        DelegationHop,
        PRINCIPALS,
        st.lists(SCOPES, min_size=1, max_size=3).map(tuple),
        st.sampled_from(["", "https://i"]),
    ),
    max_size=4,
).map(tuple)
RULES = st.none() | st.builds(DelegationRules, st.integers(0, 4), st.sampled_from(DelegationProof))


def hop(principal: str, *scopes: str) -> dict[str, Any]:
    return {"principal": principal, "scopes": list(scopes)}


def delegated(*hops: DelegationHop, agent: str = "agent") -> Identity:
    return Identity(agent, "acme", delegation=tuple(one.principal for one in hops), delegation_chain=tuple(hops))


@given(PATTERNS, PATTERNS)
@settings(max_examples=500)
def test_a_pattern_that_contains_another_matches_all_that_it_matches(outer: str, inner: str) -> None:
    if glob_contains(outer, inner):
        assert [name for name in NAMES if glob_matches(inner, name) and not glob_matches(outer, name)] == []


@pytest.mark.parametrize(
    ("outer", "inner", "contains"),
    [
        ("*", "a.*", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b*", True),
        ("a.*", "a.?", True),
        ("a.?", "a.b", True),
        ("a.?", "a.?", True),
        ("a?*", "a?*", True),
        ("a.b", "a.*", False),
        ("a.?", "a.*", False),
        ("??", "*", False),
        ("b", "?", False),
        ("a.*", "*", False),
        ("a.*", "A.b", False),
        ("*.read", "crm.*", False),
    ],
)
def test_what_contains_what(outer: str, inner: str, contains: bool) -> None:  # noqa: FBT001
    assert glob_contains(outer, inner) == contains


@given(CHAINS, TOOLS, RULES, PRINCIPALS)
@settings(max_examples=1_000)
def test_allowed_means_within_every_hop_and_no_loop(
    chain: tuple[DelegationHop, ...], tool: str, rules: DelegationRules | None, agent: str
) -> None:
    denial = delegation_denial(delegated(*chain, agent=agent), tool, rules)
    if denial is None:
        assert all(any(glob_matches(scope, tool) for scope in one.scopes) for one in chain)
        names = [*(folded(one.principal) for one in chain), folded(agent)]
        assert len(set(names)) == len(names) or not chain
        if rules is not None:
            assert len(chain) <= rules.depth_max
            assert rules.require is not DelegationProof.SIGNED or all(one.proven_by for one in chain)
    else:
        assert denial.effect is Effect.DENY


@given(CHAINS.filter(len), TOOLS)
@settings(max_examples=500)
def test_a_hop_gains_no_tool_that_an_earlier_one_lacked(chain: tuple[DelegationHop, ...], tool: str) -> None:
    """Whatever the chain: once a hop does not hand on a tool, no longer chain is allowed to use it."""
    for length in range(1, len(chain)):
        lacks = not any(glob_matches(scope, tool) for scope in chain[length - 1].scopes)
        assert not lacks or delegation_denial(delegated(*chain), tool, None) is not None


@pytest.mark.parametrize(
    ("hops", "rule_id"),
    [
        ([hop("anna", "*"), hop("planner", "p*")], "tools.listed"),
        ([hop("anna", "*")], "tools.listed"),
        ([hop("anna", "p*"), hop("planner", "*")], "identity.delegation_widens"),
        ([hop("anna", "pay"), hop("planner", "pay", "mail")], "identity.delegation_widens"),
        ([hop("anna", "*"), hop("planner", "mail")], "identity.delegation_scope"),
        ([hop("anna", "mail")], "identity.delegation_scope"),
        ([hop("anna", "*"), hop("planner", "*"), hop("ANNA", "*")], "identity.delegation_loop"),
        ([hop("anna", "*"), hop("\uff21gent", "*")], "identity.delegation_loop"),
    ],
)
async def test_chains_are_denied_and_recorded(hops: list[dict[str, Any]], rule_id: str) -> None:
    env = DecisionEnv()
    decision = await env.ask(identity__agent="agent", identity__delegation_chain=hops)
    assert decision.rule_id == rule_id
    [recorded] = await env.recorded()
    assert recorded.decision == decision
    assert b'"delegation_chain":[{"principal":"anna","proven_by":"","scopes":' in recorded.input_json


@pytest.mark.parametrize(
    ("section", "identity", "rule_id"),
    [
        ({}, {"delegation": ["a", "b"]}, "tools.listed"),
        ({}, {"delegation": ["a", "A"]}, "identity.delegation_loop"),
        ({}, {}, "tools.listed"),
        ({"depth_max": 1}, {"delegation": ["a", "b"]}, "identity.delegation_too_deep"),
        ({"depth_max": 1}, {"delegation": ["a"]}, "tools.listed"),
        ({"depth_max": 0}, {"delegation_chain": [hop("a", "*")]}, "identity.delegation_too_deep"),
        ({"require": "scoped"}, {"delegation": ["a"]}, "identity.delegation_unproven"),
        ({"require": "scoped"}, {"delegation_chain": [hop("a", "*")]}, "tools.listed"),
        ({"require": "signed"}, {"delegation_chain": [hop("a", "*")]}, "identity.delegation_unproven"),
        ({"require": "signed"}, {"delegation": ["a"]}, "identity.delegation_unproven"),
        ({"require": "signed"}, {}, "tools.listed"),
    ],
)
async def test_what_a_tenant_requires(section: dict[str, Any], identity: dict[str, Any], rule_id: str) -> None:
    env = DecisionEnv(delegation=section)
    asked = {f"identity__{name}": value for name, value in identity.items()}
    assert (await env.ask(**asked)).rule_id == rule_id


async def test_names_alone_are_not_checked_where_the_tenant_asks_nothing() -> None:
    assert (await DecisionEnv().ask(identity__delegation=["a", "a"])).rule_id == "tools.listed"


def test_a_chain_that_is_signed_in_part_is_not_proven() -> None:
    signed = DelegationRules(require=DelegationProof.SIGNED)
    proven = DelegationHop("a", ("*",), "https://i"), DelegationHop("b", ("*",), "https://i")
    assert delegation_denial(delegated(*proven), "pay", signed) is None
    denial = delegation_denial(delegated(proven[0], DelegationHop("b", ("*",))), "pay", signed)
    assert denial is not None
    assert denial.details == {"principal": "b", "required": "signed"}
    assert DelegationRules().depth_max == DELEGATION_MAX


@pytest.mark.parametrize("voter", ["anna", " ANNA", "planner", "agent", "u_1", "U_1"])
async def test_whoever_is_in_the_chain_does_not_vote(voter: str) -> None:
    env = DecisionEnv(
        say=lambda _: verdict(APPROVAL_REQUIRED), approver_groups={"lead": [voter.strip(), "lena", "luis"]}
    )
    decision = await env.ask(
        identity__agent="agent",
        identity__user="u_1",
        identity__delegation_chain=[hop("anna", "*"), hop("planner", "pay")],
    )
    with pytest.raises(PermissionDeniedError):
        await env.approve(decision, Person(voter, ("lead",)))
    await env.approve(decision, Person("lena", ("lead",)), Person("luis", ("lead",)))
    assert (await env.approval(decision)).state is ApprovalState.APPROVED


async def test_a_kill_switch_on_a_principal_of_the_chain_stops_the_work() -> None:
    env = DecisionEnv()
    await env.kill("agent", "planner")
    asked = [hop("anna", "*"), hop("Planner", "*")]
    assert (await env.ask(identity__delegation_chain=asked)).rule_id == "kill_switch.agent"
