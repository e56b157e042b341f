"""Decisions against budgets: to the limit and not one unit beyond, all of them or none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from placet.kernel.model import BudgetState, Effect
from tests.support.deciding import HOUR_US, DecisionEnv, budget, left, state_of, told, usd
from tests.support.fakes import ALLOWED, DENIED, NOW_US, asked, verdict

ALLOW = ("allow", "tools.listed")
MIDNIGHT_US = 1_777_075_200_000_000
"""2026-04-25T00:00:00Z, the midnight after NOW_US."""
MAY_US = 1_777_593_600_000_000
"""2026-05-01T00:00:00Z."""


@pytest.mark.parametrize(
    ("said", "one", "another"),
    [
        ({"scope": "run", "window": "run"}, {"run__run_id": "r1"}, {"run__run_id": "r2"}),
        ({"scope": "workflow"}, {"run__workflow": "w1"}, {"run__workflow": "w2"}),
        ({"scope": "user"}, {"identity__user": "u1"}, {"identity__user": "u2"}),
        ({"scope": "agent"}, {"identity__agent": "a1"}, {"identity__agent": "a2"}),
        ({"scope": "tool"}, {"action__tool": "pay"}, {"action__tool": "mail"}),
        (
            {"scope": "customer", "customer": "/customer/id"},
            {"action__params_json": '{"customer":{"id":"c1"}}'},
            {"action__params_json": '{"customer":{"id":"c2"}}'},
        ),
    ],
)
async def test_each_member_of_a_scope_has_all_of_the_limit(
    said: dict[str, Any], one: dict[str, Any], another: dict[str, Any]
) -> None:
    env = DecisionEnv(budget(limit=2, **said))
    for expected in (1, 0):
        assert left(await env.ask(**one)) == expected
    assert told(await env.ask(**one)) == [("deny", "budgets.b")]
    assert told(await env.ask(**another)) == [ALLOW]


async def test_a_tenants_budget_is_for_all_of_its_actions_together() -> None:
    env = DecisionEnv(budget(limit=2))
    assert await env.effects([asked("look", identity__user="u1"), asked("pay", identity__user="u2")]) == ["allow"] * 2
    assert told(await env.ask("mail", identity__user="u3")) == [("deny", "budgets.b")]


@pytest.mark.parametrize(
    ("said", "takes", "unit"),
    [
        ({"measure": "amount", "currency": "USD", "limit": 1}, {"action__amount": usd(25)}, "amount:USD"),
        ({"measure": "calls", "limit": 4}, {}, "calls"),
        ({"measure": "tokens", "limit": 40}, {"model__input_tokens": 6, "model__output_tokens": 4}, "tokens"),
        ({"measure": "cost", "limit": 1}, {"model__estimated_cost_micros": 250_000}, "cost"),
    ],
)
async def test_exactly_the_limit_is_granted_and_one_more_is_denied(
    said: dict[str, Any], takes: dict[str, Any], unit: str
) -> None:
    env = DecisionEnv(budget(**said))
    assert [told(await env.ask(**takes)) for _ in range(4)] == [[ALLOW]] * 4
    denied = await env.ask(**takes)
    assert told(denied) == [("deny", "budgets.b")]
    assert state_of(denied).unit == unit
    assert (left(denied), state_of(denied).reserved) == (0, 0)


@pytest.mark.parametrize(("minor_units", "effect"), [(10_000, "allow"), (10_001, "deny")])
async def test_a_single_action_may_take_all_but_no_more(minor_units: int, effect: str) -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=100))
    assert (await env.ask(action__amount=usd(minor_units))).effect.value == effect


async def test_a_smaller_action_fits_where_a_larger_one_does_not() -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=100))
    amounts = (6_000, 5_000, 4_000, 1)
    batch = [asked("pay", action__amount=usd(amount)) for amount in amounts]
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
    batch = [asked("pay"), asked("pay"), asked("pay"), asked("mail")]
    first, second, third, fourth = await env.decide(*batch)
    assert told(first, second, third, fourth) == [ALLOW, ("deny", "budgets.m"), ("deny", "budgets.m"), ALLOW]
    last = await env.ask("look")
    assert [left(last, budget_id) for budget_id in ("a", "m", "z")] == [7, 0, 7]


async def test_every_budget_without_room_is_named_and_the_smallest_id_wins() -> None:
    env = DecisionEnv(budget(id="z", limit=1), budget(id="a", limit=1), budget(id="m"))
    await env.ask()
    denied = await env.ask()
    assert denied.rule_id == "budgets.a"
    ruled = [finding.rule_id for finding in denied.findings if finding.effect is Effect.DENY]
    assert ruled == ["budgets.a", "budgets.z"]


async def test_what_is_denied_reserves_nothing() -> None:
    env = DecisionEnv(
        budget(limit=1), say=lambda seen: verdict(DENIED if seen["action"]["tool"] == "mail" else ALLOWED)
    )
    assert told(*[await env.ask("mail") for _ in range(3)]) == [("deny", "pay.never")] * 3
    assert told(await env.ask()) == [ALLOW]


async def test_a_window_ends_and_the_next_begins_at_nothing() -> None:
    env = DecisionEnv(budget(limit=1))
    assert state_of(await env.ask()).resets_at_us == MIDNIGHT_US
    env.clock.wall = MIDNIGHT_US - 1
    assert (await env.ask()).effect is Effect.DENY
    env.clock.wall = MIDNIGHT_US
    assert (await env.ask()).effect is Effect.ALLOW


async def test_a_clock_set_back_over_midnight_finds_what_was_spent_before() -> None:
    env = DecisionEnv(budget(limit=1))
    env.clock.wall = MIDNIGHT_US
    await env.ask()
    env.clock.wall = NOW_US
    assert (await env.ask()).effect is Effect.ALLOW
    assert (await env.ask()).effect is Effect.DENY
    env.clock.wall = MIDNIGHT_US
    assert (await env.ask()).effect is Effect.DENY


async def test_another_currency_is_denied_and_counts_nowhere() -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=100))
    euros = {"currency_code": "EUR", "minor_units": 1}
    assert told(await env.ask(action__amount=euros)) == [("deny", "budgets.currency")]
    assert told(await env.ask()) == [("deny", "budgets.amount_missing")]
    assert left(await env.ask(action__amount=usd(10_000))) == 0


async def test_an_exceeded_budget_may_ask_for_people() -> None:
    asks = {"on_exceed": "require_approval", "approval": {"quorum": 2, "approver_roles": ["lead"]}}
    env = DecisionEnv(budget(limit=1, **asks))
    await env.ask()
    decision = await env.ask()
    assert told(decision) == [("require_approval", "budgets.b")]
    assert decision.approval is not None
    assert (decision.approval.quorum, decision.approval.approver_roles) == (2, ("lead",))
    assert (await env.approval(decision)).override


async def test_an_exceeded_budget_may_leave_dry_runs() -> None:
    env = DecisionEnv(budget(limit=1, on_exceed="draft_only"))
    await env.ask()
    assert told(await env.ask(), await env.ask(action__dry_run=True)) == [("deny", "budgets.b"), ALLOW]


async def test_a_dry_run_counts_as_a_call_and_moves_no_money() -> None:
    env = DecisionEnv(budget(id="calls"), budget(id="money", measure="amount", currency="USD", limit=1))
    decision = await env.ask(action__dry_run=True, action__amount=usd(100_000))
    assert told(decision) == [ALLOW]
    assert [each.id for each in decision.budgets] == ["calls"]


async def test_what_an_outcome_gives_back_can_be_used_again() -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=100))
    first = await env.ask(action__amount=usd(10_000))
    assert (await env.ask(action__amount=usd(1))).effect is Effect.DENY
    await env.report(first, amount_minor_units=9_999)
    assert left(await env.ask(action__amount=usd(1))) == 0


async def test_what_was_overspent_is_taken_off_and_shown() -> None:
    env = DecisionEnv(budget(measure="cost", limit=1))
    first = await env.ask(model__estimated_cost_micros=900_000)
    assert (await env.report(first, cost_micros=1_500_000)).overspent == ("b",)
    denied = await env.ask()
    assert told(denied) == [("deny", "budgets.b")]
    [finding] = [each for each in denied.findings if each.rule_id == "budgets.b"]
    assert (finding.details["used"], finding.details["limit"]) == (1_500_000, 1_000_000)


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


async def test_a_tools_fee_and_the_models_tokens_are_spent_together() -> None:
    env = DecisionEnv(spend_limits={"per_user_usd_per_day": 2}, tools={"pay": {"cost": 1}})
    decision = await env.ask(model__estimated_cost_micros=999_999)
    assert left(decision, "spend.per_user_per_day") == 1
    assert (await env.ask(model__estimated_cost_micros=0)).effect is Effect.DENY


async def test_the_hard_cap_of_a_customer_and_a_day() -> None:
    cap = budget(
        id="refunds.customer",
        scope="customer",
        customer="/customer",
        measure="amount",
        currency="USD",
        limit=200,
        match={"tools": ["pay"]},
    )
    env = DecisionEnv(cap)

    async def refund(customer: str, minor_units: int) -> str:
        params = f'{{"customer":"{customer}"}}'
        return (await env.ask(action__params_json=params, action__amount=usd(minor_units))).rule_id

    assert await refund("c_1", 15_000) == "tools.listed"
    assert await refund("c_1", 5_001) == "budgets.refunds.customer"
    assert await refund(" C_1 ", 5_001) == "budgets.refunds.customer"
    assert await refund("c_1", 5_000) == "tools.listed"
    assert await refund("c_2", 20_000) == "tools.listed"
    env.clock.wall = MIDNIGHT_US
    assert await refund("c_1", 20_000) == "tools.listed"


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
    assert told(*[await env.ask() for _ in range(3)]) == [ALLOW, ALLOW, ("deny", "pay.never")]


async def test_the_limit_holds_whatever_policy_says() -> None:
    env = DecisionEnv(budget(limit=1), say=lambda _: verdict(ALLOWED))
    assert told(await env.ask(), await env.ask()) == [ALLOW, ("deny", "budgets.b")]


async def test_a_batch_of_64_against_a_budget_with_10_left_gets_exactly_10() -> None:
    env = DecisionEnv(budget(limit=10), budget(id="a", limit=1_000))
    decisions = await env.decide(*[asked("pay") for _ in range(64)])
    assert told(*decisions) == [ALLOW] * 10 + [("deny", "budgets.b")] * 54
    assert len(await env.recorded()) == 64
    assert left(await env.ask("pay"), "a") == 990


async def test_a_batch_never_gets_more_than_there_is_whatever_the_amounts() -> None:
    env = DecisionEnv(budget(measure="amount", currency="USD", limit=1))
    decisions = await env.decide(*[asked("pay", action__amount=usd(7 + place % 5)) for place in range(64)])
    granted = sum(each.budgets[0].reserved for each in decisions if each.effect is Effect.ALLOW)
    assert 100 - 7 < granted <= 100
    assert {each.rule_id for each in decisions} == {"tools.listed", "budgets.b"}


async def test_a_tenants_budget_is_no_other_tenants() -> None:
    env = DecisionEnv(budget(limit=1))
    env.policy.agent_policies = dict.fromkeys(("acme", "other"), env.policy.agent_policies["acme"])
    await env.ask()
    assert (await env.ask(identity__tenant="other")).effect is Effect.ALLOW
    assert (await env.ask()).effect is Effect.DENY
