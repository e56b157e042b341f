"""Decisions under kill switches: before policy, whatever else is broken, and in no repetition either."""

from __future__ import annotations

import time
from typing import Any

import pytest

from placet.kernel import rule_ids
from placet.kernel.model import Effect
from tests.support.decision_env import DecisionEnv, budget, effects_of
from tests.support.fakes import DENIED, new_request, verdict

CPU_SECONDS_MAX = 1
"""Of two decisions; a matcher that backtracks does not end in hours."""
ALLOW = ("allow", "tools.listed")
SCOPES = [
    ("global", "", "", {}, None),
    ("tenant", "", "acme", {}, None),
    ("tool", "pay", "acme", {}, {"tool": "mail"}),
    ("tool", "p*", "", {}, {"tool": "mail"}),
    ("agent", "bot", "acme", {"identity__agent": "bot"}, {"identity__agent": "other"}),
    ("agent", "bot", "", {"identity__delegation": ["bot"]}, {"identity__delegation": ["other"]}),
    ("workflow", "w", "acme", {"run__workflow": "w"}, {"run__workflow": "v"}),
    ("run", "r1", "acme", {"run__run_id": "r1"}, {"run__run_id": "r2"}),
]


@pytest.mark.parametrize(("scope", "value", "tenant", "covered", "other"), SCOPES)
async def test_what_a_switch_covers_is_denied_without_asking_policy(
    scope: str, value: str, tenant: str, covered: dict[str, Any], other: dict[str, Any] | None
) -> None:
    env = DecisionEnv()
    assert effects_of(await env.ask(**covered)) == [ALLOW]
    await env.kill(scope, value, tenant)
    before = len(env.policy.seen)
    decision = await env.ask(**covered)
    assert effects_of(decision) == [("deny", f"kill_switch.{scope}")]
    assert len(env.policy.seen) == before
    [finding] = decision.findings
    assert (finding.details["reason"], finding.details["actor"]) == ("it misbehaves", "ada")
    if other is not None:
        assert effects_of(await env.ask(**other)) == [ALLOW]
    assert (await env.recorded())[1].decision == decision


async def test_a_switch_of_a_tenant_stops_no_other() -> None:
    env = DecisionEnv()
    env.policy.agent_policies = dict.fromkeys(("acme", "other"), env.policy.agent_policies["acme"])
    await env.kill("tool", "pay", "other")
    await env.kill("tenant", "", "other")
    assert effects_of(await env.ask(), await env.ask(identity__tenant="other")) == [
        ALLOW,
        ("deny", "kill_switch.tenant"),
    ]


async def test_a_switch_stored_with_many_asterisks_stops_what_it_covers_and_delays_nothing() -> None:
    env = DecisionEnv()
    await env.kill("tool", "*a" * 60 + "*b")  # as the border took it before it counted them
    started = time.thread_time()
    stopped, other = "a" * 127 + "b", "a" * 128
    assert [(await env.ask(tool)).rule_id for tool in (stopped, other)] == ["kill_switch.tool", rule_ids.UNKNOWN_TOOL]
    assert time.thread_time() - started < CPU_SECONDS_MAX


async def test_the_widest_switch_is_named() -> None:
    env = DecisionEnv()
    for scope, value, tenant in (("tool", "pay", "acme"), ("tenant", "", "acme"), ("global", "", "")):
        await env.kill(scope, value, tenant)
        assert (await env.ask()).rule_id == f"kill_switch.{scope}"


async def test_a_switch_works_without_any_policy() -> None:
    env = DecisionEnv()
    env.source.policy = None
    assert (await env.ask()).rule_id == rule_ids.ENGINE_UNAVAILABLE
    await env.kill("global", tenant="")
    assert effects_of(await env.ask(), await env.ask(identity__tenant="nobody")) == [("deny", "kill_switch.global")] * 2


async def test_a_switch_works_while_policy_is_broken() -> None:
    env = DecisionEnv()
    env.policy.error = RuntimeError("a defect")
    await env.kill("tool", "pay")
    assert effects_of(await env.ask()) == [("deny", "kill_switch.tool")]


async def test_a_switch_wins_over_all_that_denies() -> None:
    env = DecisionEnv(budget(limit=1), say=lambda _: verdict(DENIED), autonomy={"default": "observe_only"})
    await env.kill("global", tenant="")
    unknown = await env.ask("nothing.such")
    assert effects_of(await env.ask(), unknown) == [("deny", "kill_switch.global")] * 2


async def test_a_global_switch_is_cleared_by_two() -> None:
    env = DecisionEnv()
    switch = await env.kill("global", tenant="")
    assert (await env.kill_switches.clear(switch, "", "ada", "it is over")).waiting is not None
    assert (await env.ask()).effect is Effect.DENY
    assert (await env.kill_switches.clear(switch, "", "bea", "it is over")).waiting is None
    assert effects_of(await env.ask()) == [ALLOW]


async def test_a_batch_under_a_switch_decides_the_others() -> None:
    env = DecisionEnv()
    await env.kill("tool", "pay")
    decisions = await env.decide(new_request("look"), new_request("pay"), new_request("mail"))
    assert effects_of(*decisions) == [ALLOW, ("deny", "kill_switch.tool"), ALLOW]
    assert env.policy.batches == [2]
