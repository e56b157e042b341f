"""Decisions at each level of autonomy. It only ever narrows what policy says."""

from __future__ import annotations

from typing import Any

import pytest

from placet.controls.autonomy.model import AutonomyLevel
from placet.kernel.model import Effect
from tests.support.deciding import LEAD, DecisionEnv, told
from tests.support.fakes import ALLOWED, ASKED, DENIED, asked, verdict

ALLOW = ("allow", "tools.listed")
LEVELS = ("observe_only", "draft_only", "execute_with_approval", "execute")


@pytest.mark.parametrize(
    ("level", "write", "dry_run"),
    [
        ("observe_only", ("deny", "autonomy.observe_only"), ("deny", "autonomy.observe_only")),
        ("draft_only", ("deny", "autonomy.draft_only"), ALLOW),
        ("execute_with_approval", ("require_approval", "autonomy.execute_with_approval"), ALLOW),
        ("execute", ALLOW, ALLOW),
    ],
)
async def test_what_a_level_makes_of_an_allow(level: str, write: tuple[str, str], dry_run: tuple[str, str]) -> None:
    env = DecisionEnv(autonomy={"default": level})
    decisions = await env.decide(asked("pay"), asked("pay", action__dry_run=True), asked("look"))
    assert told(*decisions) == [write, dry_run, ALLOW]
    assert {decision.autonomy for decision in decisions} == {level}
    assert {seen["facts"]["autonomy"] for seen in env.policy.seen} == {level}


@pytest.mark.parametrize("level", LEVELS)
async def test_no_level_makes_more_of_a_deny(level: str) -> None:
    env = DecisionEnv(autonomy={"default": level, "observe": "shadow"}, say=lambda _: verdict(ALLOWED, DENIED))
    decisions = await env.decide(asked("pay"), asked("pay", action__dry_run=True), asked("look"))
    assert told(*decisions) == [("deny", "pay.never")] * 3
    assert {decision.shadow_effect for decision in decisions} == {None}


@pytest.mark.parametrize(
    ("level", "effect"),
    [
        ("observe_only", "deny"),
        ("draft_only", "deny"),
        ("execute_with_approval", "require_approval"),
        ("execute", "require_approval"),
    ],
)
async def test_no_level_makes_more_of_a_require_approval(level: str, effect: str) -> None:
    env = DecisionEnv(autonomy={"default": level}, say=lambda _: verdict(ALLOWED, ASKED))
    assert (await env.ask()).effect.value == effect


@pytest.mark.parametrize(
    ("observe", "findings", "shadow"),
    [
        ("shadow", (ALLOWED,), Effect.ALLOW),
        ("shadow", (ALLOWED, ASKED), Effect.REQUIRE_APPROVAL),
        ("deny", (ALLOWED,), None),
    ],
)
async def test_what_it_would_have_been(observe: str, findings: Any, shadow: Effect | None) -> None:
    env = DecisionEnv(autonomy={"default": "observe_only", "observe": observe}, say=lambda _: verdict(*findings))
    decision = await env.ask()
    assert told(decision) == [("deny", "autonomy.observe_only")]
    assert decision.shadow_effect is shadow
    assert decision.approval is None
    [held] = await env.recorded()
    assert held.decision.shadow_effect is shadow


async def test_what_is_only_shadowed_takes_nothing() -> None:
    budgets = [{"id": "b", "scope": "tenant", "measure": "calls", "limit": 1, "window": "day"}]
    env = DecisionEnv(*budgets, autonomy={"default": "observe_only", "observe": "shadow"})
    decisions = await env.decide(asked("pay"), asked("pay"))
    assert [decision.shadow_effect for decision in decisions] == [Effect.ALLOW] * 2
    assert (await env.ask("look")).effect is Effect.ALLOW


async def test_what_a_budget_denies_is_no_shadow_of_an_allow() -> None:
    budgets = [{"id": "b", "scope": "tenant", "measure": "calls", "limit": 1, "window": "day"}]
    env = DecisionEnv(*budgets, autonomy={"default": "observe_only", "observe": "shadow"})
    await env.ask("look")
    decision = await env.ask()
    assert decision.effect is Effect.DENY
    assert decision.shadow_effect is not Effect.ALLOW


async def test_a_level_that_is_set_holds_for_the_next_decision() -> None:
    env = DecisionEnv()
    assert told(await env.ask()) == [ALLOW]
    await env.level(AutonomyLevel.DRAFT_ONLY, tool="pay")
    assert told(await env.ask(), await env.ask("mail")) == [("deny", "autonomy.draft_only"), ALLOW]
    assert (await env.level(None, tool="pay")).waiting is not None
    assert (await env.ask()).effect is Effect.DENY
    assert (await env.level(None, actor="bea", tool="pay")).waiting is None
    assert told(await env.ask()) == [ALLOW]


async def test_the_most_specific_level_wins_and_of_equals_the_lower() -> None:
    rules = [
        {"workflow": "w", "level": "execute"},
        {"tool": "pay", "level": "draft_only"},
        {"workflow": "w", "tool": "pay", "level": "execute_with_approval"},
    ]
    env = DecisionEnv(autonomy={"default": "observe_only", "rules": rules})
    asking = [asked("mail"), asked("mail", run__workflow="w"), asked("pay"), asked("pay", run__workflow="w")]
    decisions = await env.decide(*asking)
    assert [each.autonomy for each in decisions] == ["observe_only", "execute", "draft_only", "execute_with_approval"]


async def test_a_person_lets_an_action_pass_where_each_write_needs_one() -> None:
    approval = {"quorum": 1, "approver_roles": ["lead"]}
    env = DecisionEnv(autonomy={"default": "execute_with_approval", "approval": approval})
    decision = await env.ask(idempotency_key="k")
    await env.approve(decision, LEAD)
    assert told(await env.ask(idempotency_key="k")) == [("allow", "approvals.granted")]


async def test_an_approval_does_not_outlast_a_level_that_was_lowered() -> None:
    env = DecisionEnv(autonomy={"default": "execute_with_approval"})
    decision = await env.ask()
    approval_id = await env.approve(decision)
    await env.level(AutonomyLevel.DRAFT_ONLY)
    assert told(await env.ask(approval_id=approval_id)) == [("deny", "autonomy.draft_only")]
    assert (await env.approval(decision)).state.value == "approved"
