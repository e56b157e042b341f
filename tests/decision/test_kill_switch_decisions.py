"""Decisions under kill switches: before policy, whatever else is broken, and in no repetition either."""

from __future__ import annotations

import time
from typing import Any

import pytest

from placet.kernel import rule_ids
from placet.kernel.model import Effect
from tests.support.deciding import LEADS, SECOND_US, Desk, budget, told
from tests.support.fakes import ALLOWED, ASKED, DENIED, asked, verdict

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
    desk = Desk()
    assert told(await desk.ask(**covered)) == [ALLOW]
    await desk.kill(scope, value, tenant)
    before = len(desk.policy.seen)
    decision = await desk.ask(**covered)
    assert told(decision) == [("deny", f"kill_switch.{scope}")]
    assert len(desk.policy.seen) == before
    [finding] = decision.findings
    assert (finding.details["reason"], finding.details["actor"]) == ("it misbehaves", "ada")
    if other is not None:
        assert told(await desk.ask(**other)) == [ALLOW]
    assert (await desk.recorded())[1].decision == decision


async def test_a_switch_of_a_tenant_stops_no_other() -> None:
    desk = Desk()
    desk.policy.agent_policies = dict.fromkeys(("acme", "other"), desk.policy.agent_policies["acme"])
    await desk.kill("tool", "pay", "other")
    await desk.kill("tenant", "", "other")
    assert told(await desk.ask(), await desk.ask(identity__tenant="other")) == [ALLOW, ("deny", "kill_switch.tenant")]


async def test_a_switch_stored_with_many_asterisks_stops_what_it_covers_and_delays_nothing() -> None:
    desk = Desk()
    await desk.kill("tool", "*a" * 60 + "*b")  # as the border took it before it counted them
    started = time.thread_time()
    stopped, other = "a" * 127 + "b", "a" * 128
    assert [(await desk.ask(tool)).rule_id for tool in (stopped, other)] == ["kill_switch.tool", rule_ids.UNKNOWN_TOOL]
    assert time.thread_time() - started < CPU_SECONDS_MAX


async def test_the_widest_switch_is_named() -> None:
    desk = Desk()
    for scope, value, tenant in (("tool", "pay", "acme"), ("tenant", "", "acme"), ("global", "", "")):
        await desk.kill(scope, value, tenant)
        assert (await desk.ask()).rule_id == f"kill_switch.{scope}"


async def test_a_switch_works_without_any_policy() -> None:
    desk = Desk()
    desk.source.policy = None
    assert (await desk.ask()).rule_id == rule_ids.ENGINE_UNAVAILABLE
    await desk.kill("global", tenant="")
    assert told(await desk.ask(), await desk.ask(identity__tenant="nobody")) == [("deny", "kill_switch.global")] * 2


async def test_a_switch_works_while_policy_is_broken() -> None:
    desk = Desk()
    desk.policy.fault = RuntimeError("a defect")
    await desk.kill("tool", "pay")
    assert told(await desk.ask()) == [("deny", "kill_switch.tool")]


async def test_a_switch_wins_over_all_that_denies() -> None:
    desk = Desk(budget(limit=1), say=lambda _: verdict(DENIED), autonomy={"default": "observe_only"})
    await desk.kill("global", tenant="")
    unknown = await desk.ask("nothing.such")
    assert told(await desk.ask(), unknown) == [("deny", "kill_switch.global")] * 2


async def test_a_stopped_action_takes_no_budget() -> None:
    desk = Desk(budget(limit=1))
    switch = await desk.kill("tool", "pay")
    await desk.ask()
    await desk.kill_switches.clear(switch, "acme", "ada", "it is over")
    assert told(await desk.ask()) == [ALLOW]


async def test_an_allow_is_not_given_again_under_a_switch() -> None:
    desk = Desk(budget(limit=2))
    first = await desk.ask(idempotency_key="k")
    switch = await desk.kill("tool", "pay")
    for _ in range(2):
        again = await desk.ask(idempotency_key="k")
        assert told(again) == [("deny", "kill_switch.tool")]
        assert again.decision_id != first.decision_id
    assert len(await desk.recorded()) == 3
    await desk.kill_switches.clear(switch, "acme", "ada", "it is over")
    again = await desk.ask(idempotency_key="k")
    assert told(again) == [("deny", rule_ids.PERMIT_REVOKED)]
    assert len(await desk.recorded()) == 4
    assert told(await desk.ask(idempotency_key="l")) == [ALLOW]


async def test_an_allow_too_old_to_be_revoked_is_judged_by_what_stands() -> None:
    desk = Desk()
    first = await desk.ask(idempotency_key="k")
    desk.clock.wall += 300 * SECOND_US
    switch = await desk.kill("tool", "pay")
    assert told(await desk.ask(idempotency_key="k")) == [("deny", "kill_switch.tool")]
    await desk.kill_switches.clear(switch, "acme", "ada", "it is over")
    assert await desk.ask(idempotency_key="k") == first


async def test_a_deny_is_given_again_under_a_switch() -> None:
    desk = Desk(say=lambda _: verdict(DENIED))
    first = await desk.ask(idempotency_key="k")
    await desk.kill("tool", "pay")
    assert await desk.ask(idempotency_key="k") == first


async def test_a_switch_ends_by_itself() -> None:
    desk = Desk()
    await desk.kill("tool", "pay", seconds=60)
    desk.clock.wall += 60 * SECOND_US - 1
    assert (await desk.ask()).effect is Effect.DENY
    desk.clock.wall += 1
    assert told(await desk.ask()) == [ALLOW]


async def test_a_global_switch_is_cleared_by_two() -> None:
    desk = Desk()
    switch = await desk.kill("global", tenant="")
    assert (await desk.kill_switches.clear(switch, "", "ada", "it is over")).waiting is not None
    assert (await desk.ask()).effect is Effect.DENY
    assert (await desk.kill_switches.clear(switch, "", "bea", "it is over")).waiting is None
    assert told(await desk.ask()) == [ALLOW]


async def test_an_approval_does_not_pass_a_switch() -> None:
    desk = Desk(say=lambda _: verdict(ALLOWED, ASKED))
    decision = await desk.ask(idempotency_key="k")
    approval_id = await desk.approve(decision, *LEADS)
    switch = await desk.kill("tool", "pay")
    assert told(await desk.ask(approval_id=approval_id)) == [("deny", "kill_switch.tool")]
    assert (await desk.approval(decision)).state.value == "approved"
    await desk.kill_switches.clear(switch, "acme", "ada", "it is over")
    assert told(await desk.ask(approval_id=approval_id)) == [("allow", "approvals.granted")]


async def test_a_batch_under_a_switch_decides_the_others() -> None:
    desk = Desk()
    await desk.kill("tool", "pay")
    decisions = await desk.decide(asked("look"), asked("pay"), asked("mail"))
    assert told(*decisions) == [ALLOW, ("deny", "kill_switch.tool"), ALLOW]
    assert desk.policy.batches == [2]
