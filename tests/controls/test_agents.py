"""The register of agents: who may act, who may run it, and who is an orphan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.controls.agents.model import AgentEntry, AgentRegister
from placet.controls.agents.service import UNREGISTERED_LISTED_MAX, AgentListing
from placet.controls.autonomy.model import AutonomyLevel, AutonomyRule
from placet.kernel.model import Caller, Effect
from tests.support.decision_env import DecisionEnv
from tests.support.fakes import new_request
from tests.support.replacing import replace

DAY_US = 86_400_000_000
RUNTIME = Caller("spiffe://example.org/ns/agents/sa/refunds", method="certificate", issuer="example.org")
OWNED = {"owner": "team-payments"}


def strict(**agents: dict[str, Any]) -> DecisionEnv:
    """A tenant that admits only registered agents. `bot` is written `Bot`."""
    return DecisionEnv(
        agents_mode="strict", agents={name.replace("_any", "*"): entry for name, entry in agents.items()}
    )


async def ruled(env: DecisionEnv, caller: Caller | None = None, agent: str = "bot") -> str:
    """The rule_id of the decision about an agent; it is on record."""
    request = new_request("pay", identity__agent=agent)
    [decision] = await env.decide(replace(request, caller=caller or request.caller))
    [*_, recorded] = await env.recorded()
    assert recorded.decision == decision
    return decision.rule_id


@pytest.mark.parametrize(
    ("agents", "rule_id"),
    [
        ({}, "identity.agent_unknown"),
        ({"other": OWNED}, "identity.agent_unknown"),
        ({"Bot": OWNED}, "tools.listed"),
        ({"b_any": OWNED}, "tools.listed"),
        ({"bot": {**OWNED, "expires": "2999-01-01"}}, "tools.listed"),
        ({"bot": {**OWNED, "expires": "2001-01-01"}}, "identity.agent_expired"),
        ({"bot": {**OWNED, "expires": "2001-01-01"}, "b_any": OWNED}, "identity.agent_expired"),
        ({"bot": OWNED, "b_any": {**OWNED, "expires": "2001-01-01"}}, "tools.listed"),
        ({"bo_any": {**OWNED, "expires": "2001-01-01"}, "b_any": OWNED}, "identity.agent_expired"),
    ],
)
async def test_only_registered_agents_act_for_a_strict_tenant(agents: dict[str, Any], rule_id: str) -> None:
    assert await ruled(strict(**agents)) == rule_id


@pytest.mark.parametrize("said", ["bot", "BOT ", "\uff42ot"])
async def test_another_spelling_is_the_same_agent(said: str) -> None:
    assert await ruled(strict(bot={**OWNED, "expires": "2001-01-01"}), agent=said) == "identity.agent_expired"


async def test_entries_hold_for_an_open_tenant_too() -> None:
    env = DecisionEnv(agents={"bot": {"expires": "2001-01-01"}, "other": {}})
    assert await ruled(env) == "identity.agent_expired"
    assert await ruled(env, agent="other") == "tools.listed"
    assert await ruled(env, agent="third") == "tools.listed"


async def test_an_agent_acts_until_the_day_begins_on_which_it_expires() -> None:
    env = DecisionEnv()
    entry = AgentEntry("bot", expires_at_us=env.clock.wall_us())
    assert entry.expired(entry.expires_at_us)
    assert not entry.expired(entry.expires_at_us - 1)
    policy = DecisionEnv(agents={"bot": {"expires": "1970-01-02"}}).policy.agent_policies["acme"]
    assert policy.compiled.agents is not None
    assert policy.compiled.agents.entries[0].expires_at_us == DAY_US


def test_an_agent_without_an_owner_is_denied_where_each_must_have_one() -> None:
    """Such a file is refused, so only a register that was made otherwise can hold one."""
    for is_strict, rule_id in ((True, "identity.agent_without_owner"), (False, "")):
        denial = AgentRegister([AgentEntry("bot")], strict=is_strict).denial("bot", Caller(), 0)
        assert (denial.rule_id if denial else "") == rule_id


@pytest.mark.parametrize(
    ("runtimes", "caller", "rule_id"),
    [
        (["spiffe://example.org/ns/agents/sa/*"], RUNTIME, "tools.listed"),
        ([RUNTIME.name], RUNTIME, "tools.listed"),
        ([RUNTIME.name.upper()], RUNTIME, "identity.runtime_not_allowed"),
        (["token:refunds"], RUNTIME, "identity.runtime_not_allowed"),
        (["token:refunds"], Caller(peer="ipv4:127.0.0.1:1"), "tools.listed"),  # nobody is authenticated
    ],
)
async def test_only_its_runtimes_run_an_agent(runtimes: list[str], caller: Caller, rule_id: str) -> None:
    assert await ruled(strict(bot={**OWNED, "runtimes": runtimes}), caller) == rule_id


@pytest.mark.parametrize(
    ("of_agent", "of_tenant", "effect", "rule_id"),
    [
        ("draft_only", "execute", Effect.DENY, "autonomy.draft_only"),
        ("execute", "draft_only", Effect.DENY, "autonomy.draft_only"),
        ("execute_with_approval", "execute", Effect.REQUIRE_APPROVAL, "autonomy.execute_with_approval"),
        ("draft_only", "observe_only", Effect.DENY, "autonomy.observe_only"),
    ],
)
async def test_the_lowest_level_applies(of_agent: str, of_tenant: str, effect: Effect, rule_id: str) -> None:
    env = DecisionEnv(agents={"bot": {"autonomy": of_agent}}, autonomy={"default": of_tenant})
    decision = await env.ask(identity__agent="bot")
    assert (decision.effect, decision.rule_id) == (effect, rule_id)


async def test_no_override_lifts_the_level_of_an_agent() -> None:
    env = DecisionEnv(agents={"b*": {"autonomy": "draft_only"}}, autonomy={"default": "observe_only"})
    for actor in ("ada", "eve"):
        await env.level(AutonomyLevel.EXECUTE, actor, agent="bot")
    decision = await env.ask(identity__agent="bot")
    assert decision.rule_id == "autonomy.draft_only"
    [finding] = [finding for finding in decision.findings if finding.rule_id == decision.rule_id]
    assert finding.details == {"rule": "agent=b*", "source": "agents"}
    assert (await env.ask(identity__agent="other")).rule_id == "autonomy.observe_only"


@given(st.sampled_from(AutonomyLevel), st.sampled_from([*AutonomyLevel, None]), st.sampled_from(["bot", "other"]))
def test_a_register_never_raises_a_level(level: AutonomyLevel, own: AutonomyLevel | None, agent: str) -> None:
    limited = AgentRegister([AgentEntry("bot", autonomy=own)], strict=False).limited(AutonomyRule(level), agent)
    bound = own.rank if own is not None and agent == "bot" else level.rank
    assert limited.level.rank == min(level.rank, bound)


async def test_orphans_are_seen() -> None:
    env = strict(bot=OWNED, idle=OWNED, old={**OWNED, "expires": "2001-01-01"}, t_any={**OWNED, "purpose": "tests"})
    listing = AgentListing(env.ledger, env.source, env.clock)
    assert [agent.state.value for agent in (await listing.list("acme")).agents] == [
        "unused",
        "unused",
        "expired",
        "unused",
    ]
    for agent in ("bot", "BOT", "stray", "t1", "t2", "old"):
        await ruled(env, agent=agent)
    found = await listing.list("acme")
    assert [(agent.entry.id, agent.state.value, agent.last_used_at_us > 0) for agent in found.agents] == [
        ("bot", "active", True),
        ("idle", "unused", False),
        ("old", "expired", True),
        ("t*", "active", True),
        ("stray", "unregistered", True),
    ]
    assert (found.strict, found.unlisted) == (True, 0)
    env.clock.wall += 31 * DAY_US
    states = [agent.state.value for agent in (await listing.list("acme")).agents]
    assert states == ["unused", "unused", "expired", "unused", "unregistered"]
    env.clock.wall += 60 * DAY_US
    assert [agent.last_used_at_us for agent in (await listing.list("acme")).agents] == [0, 0, 0, 0]
    assert not (await listing.list("nobody")).agents


async def test_an_answer_lists_a_part_of_very_many_strays() -> None:
    class Busy:
        async def agents_last_used(self, *_: object) -> dict[str, int]:
            return {f"stray{number}": number for number in range(UNREGISTERED_LISTED_MAX + 3)}

    env = DecisionEnv()
    found = await AgentListing(Busy(), env.source, env.clock).list("acme")  # type: ignore[arg-type] # all that it asks
    assert len(found.agents) == UNREGISTERED_LISTED_MAX
    assert found.agents[0].entry.id == f"stray{UNREGISTERED_LISTED_MAX + 2}"
    assert found.unlisted == 3
