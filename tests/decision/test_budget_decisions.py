"""Decisions against budgets: to the limit and not one unit beyond, all of them or none."""

from __future__ import annotations

from decimal import Decimal

from placet.kernel.model import BudgetState, Effect
from tests.support.decision_env import HOUR_US, DecisionEnv, budget, effects_of, remaining, usd
from tests.support.fakes import ALLOWED, DENIED, new_request, verdict

ALLOW = ("allow", "tools.listed")
MIDNIGHT_US = 1_777_075_200_000_000
"""2026-04-25T00:00:00Z, the midnight after NOW_US."""
MAY_US = 1_777_593_600_000_000
"""2026-05-01T00:00:00Z."""


async def test_a_smaller_action_fits_where_a_larger_one_does_not() -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=100))
    amounts = (6_000, 5_000, 4_000, 1)
    batch = [new_request("pay", action__amount=usd(amount)) for amount in amounts]
    assert await env.effects(batch) == ["allow", "deny", "allow", "deny"]


async def test_the_answer_names_each_budget_with_what_is_left_of_it() -> None:
    env = DecisionEnv(budget(id="a"), budget(id="z", scope="user", limit=3, window="lifetime"))
    decision = await env.ask()
    assert decision.budgets == (
        BudgetState("a", "calls", 10, 9, 1, MIDNIGHT_US),
        BudgetState("z", "calls", 3, 2, 1, 0),
    )
    [held] = await env.recorded()
    assert held.decision.budgets == decision.budgets


async def test_of_several_budgets_all_are_reserved_or_none() -> None:
    env = DecisionEnv(budget(id="a"), budget(id="m", scope="tool", limit=1), budget(id="z"))
    batch = [new_request("pay"), new_request("pay"), new_request("pay"), new_request("mail")]
    first, second, third, fourth = await env.decide(*batch)
    assert effects_of(first, second, third, fourth) == [ALLOW, ("deny", "budgets.m"), ("deny", "budgets.m"), ALLOW]
    last = await env.ask("look")
    assert [remaining(last, budget_id) for budget_id in ("a", "m", "z")] == [7, 0, 7]


async def test_an_exceeded_budget_may_ask_for_people() -> None:
    asks = {"on_exceed": "require_approval", "approval": {"quorum": 2, "approver_roles": ["lead"]}}
    env = DecisionEnv(budget(limit=1, **asks))
    await env.ask()
    decision = await env.ask()
    assert effects_of(decision) == [("require_approval", "budgets.b")]
    assert decision.approval is not None
    assert (decision.approval.quorum, decision.approval.approver_roles) == (2, ("lead",))
    assert (await env.approval(decision)).override


async def test_the_spend_limits_of_the_contract() -> None:
    limits = {"per_user_usd_per_day": 2, "per_workspace_usd_per_month": 500}
    env = DecisionEnv(spend_limits=limits)

    async def spend(user: str, dollars: int) -> str:
        return (await env.ask(identity__user=user, model__estimated_cost_micros=dollars * 1_000_000)).rule_id

    assert await spend("u0", 2) == "tools.listed"
    assert await spend("u0", 1) == "budgets.spend.per_user_per_day"
    for number in range(1, 250):
        assert await spend(f"u{number}", 2) == "tools.listed"
    assert await spend("u250", 1) == "budgets.spend.per_workspace_per_month"
    env.clock.wall += 24 * HOUR_US
    assert await spend("u0", 1) == "budgets.spend.per_workspace_per_month"
    env.clock.wall = MAY_US
    assert await spend("u0", 2) == "tools.listed"


async def test_policy_sees_how_a_budget_stands_before_the_action() -> None:
    env = DecisionEnv(budget(limit=4, warn_at=Decimal("0.5")))
    await env.report(await env.ask(), tokens=7)
    await env.ask()
    await env.ask()
    seen = env.policy.seen[-1]["facts"]["budgets"]["b"]
    assert (seen["used"], seen["reserved"], seen["limit"], seen["remaining"]) == (1, 1, 4, 2)
    assert seen["warn"] is True
    assert (seen["remaining_ratio"], seen["resets_at"]) == (0.5, "2026-04-25T00:00:00.000000Z")


async def test_policy_may_deny_before_the_limit_does() -> None:
    soft = lambda seen: verdict(DENIED if seen["facts"]["budgets"]["b"]["remaining_ratio"] <= 0.5 else ALLOWED)  # noqa: E731
    env = DecisionEnv(budget(limit=4), say=soft)
    assert effects_of(*[await env.ask() for _ in range(3)]) == [ALLOW, ALLOW, ("deny", "pay.never")]


async def test_a_batch_of_64_against_a_budget_with_10_left_gets_exactly_10() -> None:
    env = DecisionEnv(budget(limit=10), budget(id="a", limit=1_000))
    decisions = await env.decide(*[new_request("pay") for _ in range(64)])
    assert effects_of(*decisions) == [ALLOW] * 10 + [("deny", "budgets.b")] * 54
    assert len(await env.recorded()) == 64
    assert remaining(await env.ask("pay"), "a") == 990


async def test_a_batch_never_gets_more_than_there_is_whatever_the_amounts() -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=1))
    decisions = await env.decide(*[new_request("pay", action__amount=usd(7 + place % 5)) for place in range(64)])
    granted = sum(each.budgets[0].reserved for each in decisions if each.effect is Effect.ALLOW)
    assert 100 - 7 < granted <= 100
    assert {each.rule_id for each in decisions} == {"tools.listed", "budgets.b"}


async def test_a_tenants_budget_is_no_other_tenants() -> None:
    env = DecisionEnv(budget(limit=1))
    env.policy.agent_policies = dict.fromkeys(("acme", "other"), env.policy.agent_policies["acme"])
    await env.ask()
    assert (await env.ask(identity__tenant="other")).effect is Effect.ALLOW
    assert (await env.ask()).effect is Effect.DENY
