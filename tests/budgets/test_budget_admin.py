"""Budgets over a ledger: listed, corrected by one person a little, by two as much as they like."""

from __future__ import annotations

from typing import Any

import pytest

from placet.audit.decision_codec import invalid_request_commitment
from placet.audit.records import RecordKind
from placet.budgets.service import Adjustment
from placet.budgets.windows import Window, window_at
from placet.kernel.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError
from placet.kernel.model import Caller
from placet.kernel.state import CounterKey, ReadSet, Settle
from placet.tenants.policy import TenantPolicy
from tests.storage.making import commitment
from tests.support.fakes import NOW_US, ScriptedPolicy
from tests.support.operators import Operators
from tests.support.replacing import replace

REFUNDS = {"id": "refunds", "scope": "customer", "customer": "/customer", "measure": "amount", "limit": 500}
DAY, DAY_ENDS_US = window_at(Window.DAY, "UTC", NOW_US)


def tenant(*budgets: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = [{"window": "day", "currency": "USD", **budget} for budget in budgets]
    return {"allowed_tools": ["look"], "write_tools": ["pay"], "budgets": said, **more}


async def spend(
    some: Operators,
    used: int,
    member: str = "customer:c_1",
    budget_id: str = "refunds",
    unit: str = "amount:USD",
    window: str = DAY,
    resets_at_us: int = DAY_ENDS_US,
    *,
    scope_prefix: str = "acme",
    reserved: int = 0,
) -> CounterKey:
    key = CounterKey(scope_prefix, budget_id, unit, window, member)
    made = invalid_request_commitment("", Caller(), "Authorize", [], NOW_US)
    await some.ledger.commit([replace(made, changes=(Settle(key, reserved, used, resets_at_us),))])
    return key


def adjustment(amount: int, actor: str = "ann", **changes: Any) -> Adjustment:
    said = {"tenant": "acme", "budget_id": "refunds", "scope_key": "customer:c_1", **changes}
    return Adjustment(**said, amount=amount, actor=actor, reason="counted twice")


async def test_each_budget_is_listed_with_its_largest_counters() -> None:
    some = Operators(
        acme=tenant(
            REFUNDS,
            spend_limits={"per_user_usd_per_day": 2},
            limits={"max_tokens": 900, "workflows": {"triage": {"max_tool_calls": 20}}},
        )
    )
    for number in range(5):
        await spend(some, number * 100, f"customer:c_{number}")
    await spend(some, 60_000, "customer:c_9", reserved=100)
    await spend(some, 7, "customer:c_1", scope_prefix="globex")
    await spend(some, 900, "run:r_1", "limits.max_tokens", "tokens", "run:r_1", 0)
    listed = {each.budget_id: each for each in await some.budgets.list("acme", "", 3)}
    assert list(listed) == ["limits.max_tokens", "limits.max_tool_calls", "refunds", "spend.per_user_per_day"]
    shown = [(each.key.scope_key, each.usage.used, each.left) for each in listed["refunds"].counters]
    assert shown == [("customer:c_9", 60_000, -10_100), ("customer:c_4", 400, 49_600), ("customer:c_3", 300, 49_700)]
    assert {each.resets_at_us for each in listed["refunds"].counters} == {DAY_ENDS_US}
    assert [each.left for each in listed["limits.max_tokens"].counters] == [0]
    assert await some.budgets.list("initech", "", 3) == []


async def test_the_largest_counters_are_those_with_most_used_and_reserved_in_all_windows() -> None:
    some = Operators(acme=tenant(REFUNDS))
    await spend(some, 100, "customer:c_1", reserved=90)
    await spend(some, 180, "customer:c_2")
    await spend(some, 150, "customer:c_3", reserved=1, unit="amount:EUR")
    await spend(some, 10, "customer:c_4", reserved=185, unit="amount:EUR")
    [listed] = await some.budgets.list("acme", "refunds", 9)
    shown = [(each.key.unit, each.usage.used + each.usage.reserved) for each in listed.counters]
    assert sorted(shown, key=lambda each: each[1], reverse=True)[:2] == [("amount:EUR", 195), ("amount:USD", 190)]
    assert [total for unit, total in shown if unit == "amount:USD"] == [190, 180]
    assert [total for unit, total in shown if unit == "amount:EUR"] == [195, 151]


async def test_windows_that_ended_are_not_listed() -> None:
    some = Operators(acme=tenant(REFUNDS))
    await spend(some, 100)
    some.clock.wall = DAY_ENDS_US
    assert (await some.budgets.list("acme", "refunds", 10))[0].counters == ()


async def test_what_an_earlier_definition_counted_is_told() -> None:
    some = Operators(acme=tenant(REFUNDS))
    await spend(some, 100)
    await spend(some, 300, unit="amount:EUR")
    changed = tenant({**REFUNDS, "window": "month"})
    some.source.policy = ScriptedPolicy(agent_policies={"acme": TenantPolicy.model_validate(changed)})
    (listed,) = await some.budgets.list("acme", "refunds", 10)
    assert [(each.key.unit, each.key.window_key, each.left) for each in listed.counters] == [
        ("amount:EUR", DAY, 0),
        ("amount:USD", DAY, 0),
    ]
    some.source.policy = ScriptedPolicy(agent_policies={"acme": TenantPolicy.model_validate(tenant())})
    (listed,) = await some.budgets.list("acme", "refunds", 10)
    assert listed.budget is None
    assert len(listed.counters) == 2
    assert listed in await some.budgets.list("acme", "", 10), "nobody has to know its name"
    assert "refunds" not in {each.budget_id for each in await some.budgets.list("globex", "", 10)}
    some.clock.wall = DAY_ENDS_US
    assert "refunds" not in {each.budget_id for each in await some.budgets.list("acme", "", 10)}
    some.clock.wall = DAY_ENDS_US - 1
    with pytest.raises(NotFoundError):
        await some.budgets.list("acme", "unheard_of", 10)
    with pytest.raises(NotFoundError):
        await some.budgets.list("globex", "refunds", 10)


async def test_one_person_corrects_a_tenth_of_the_limit_in_all() -> None:
    some = Operators(acme=tenant(REFUNDS))
    key = await spend(some, 40_000)
    adjusted = await some.budgets.adjust(adjustment(-3_000))
    assert adjusted.waiting is None
    assert (adjusted.counter.usage.used, adjusted.counter.left) == (37_000, 13_000)
    assert (await some.budgets.adjust(adjustment(2_000))).waiting is None
    assert (await some.budgets.adjust(adjustment(-1))).waiting is not None, "many small ones are a large one"
    (state,) = (await some.budgets.list("acme", "refunds", 10))[0].counters
    assert (state.key, state.usage.used) == (key, 39_000)
    told = some.records(RecordKind.BUDGET_ADJUSTED)
    assert [(each["amount"], each["scope_key"], each["actor"]) for each in told] == [
        (-3_000, "customer:c_1", "ann"),
        (2_000, "customer:c_1", "ann"),
    ]


async def test_two_persons_correct_more() -> None:
    some = Operators(acme=tenant(REFUNDS))
    await spend(some, 40_000)
    first = await some.budgets.adjust(adjustment(-30_000))
    assert first.waiting is not None
    assert first.counter.usage.used == 40_000
    with pytest.raises(PermissionDeniedError):
        await some.budgets.adjust(adjustment(-30_000))
    assert (await some.budgets.adjust(adjustment(-29_999, "bob"))).waiting is not None
    second = await some.budgets.adjust(adjustment(-30_000, "bob"))
    assert (second.waiting, second.counter.usage.used) == (None, 10_000)
    (told,) = some.records(RecordKind.BUDGET_ADJUSTED)
    assert (told["requested_by"], told["actor"]) == ("ann", "bob")
    third = await some.budgets.adjust(adjustment(-30_000 + 25_000))
    assert third.waiting is None


async def test_no_more_is_given_back_than_was_used() -> None:
    some = Operators(acme=tenant(REFUNDS))
    await spend(some, 100)
    with pytest.raises(FailedPreconditionError) as refused:
        await some.budgets.adjust(adjustment(-101))
    assert refused.value.reason == "BUDGET_BELOW_ZERO"
    assert (await some.budgets.adjust(adjustment(-100))).counter.usage.used == 0


async def test_another_spelling_finds_the_counter_of_a_budget_that_is_no_longer_in_the_file() -> None:
    some = Operators(acme=tenant(REFUNDS))
    await spend(some, 100, "user:u_1", "old")
    old = {"budget_id": "old", "scope_key": "user:U_1"}
    assert (await some.budgets.adjust(adjustment(-1, **old))).waiting is not None
    corrected = await some.budgets.adjust(adjustment(-1, "bob", **old))
    assert (corrected.counter.key.scope_key, corrected.counter.usage.used) == ("user:u_1", 99)


async def test_a_counter_need_not_be_there_when_the_budget_is() -> None:
    some = Operators(acme=tenant(REFUNDS, limits={"max_tool_calls": 100, "max_same_action": 10}))
    assert (await some.budgets.adjust(adjustment(10, scope_key="customer:new"))).counter.usage.used == 10
    calls = await some.budgets.adjust(adjustment(5, budget_id="limits.max_tool_calls", scope_key="run:r_1"))
    assert (calls.counter.key.window_key, calls.counter.left) == ("run:r_1", 95)
    loop = await some.budgets.adjust(adjustment(1, budget_id="limits.loop", scope_key="run:r_1:abc"))
    assert loop.counter.key.window_key == "run:r_1"
    for wrong in ({"scope_key": "user:u_1"}, {"budget_id": "unheard_of"}, {"tenant": "globex"}):
        with pytest.raises(NotFoundError):
            await some.budgets.adjust(adjustment(1, **wrong))
    assert len(some.records(RecordKind.CONTROL_REFUSED)) == 3


async def test_what_no_file_limits_any_longer_takes_two() -> None:
    some = Operators(acme=tenant())
    await spend(some, 100)
    assert (await some.budgets.adjust(adjustment(-1))).waiting is not None
    assert (await some.budgets.adjust(adjustment(-1, "bob"))).counter.usage.used == 99


@pytest.mark.parametrize(
    ("scope", "member", "actor", "reason"),
    [
        ("user", "user:u_1", "u_1", "CONCERNED_MAY_NOT_CHANGE"),
        ("agent", "agent:bot", "Bot", "CONCERNED_MAY_NOT_CHANGE"),
        ("tenant", "tenant", "support-agent", "AGENT_MAY_NOT_CHANGE"),
    ],
)
async def test_whoever_spent_does_not_give_back(scope: str, member: str, actor: str, reason: str) -> None:
    budget = {"id": "b", "scope": scope, "measure": "calls", "window": "day", "limit": 500}
    some = Operators(acme={"allowed_tools": ["look"], "budgets": [budget]})
    await some.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    key = await spend(some, 100, member, "b", "calls")
    with pytest.raises(PermissionDeniedError) as refused:
        await some.budgets.adjust(adjustment(-10, actor, budget_id="b", scope_key=member))
    assert refused.value.reason == reason
    (record,) = some.records(RecordKind.CONTROL_REFUSED)
    assert (record["refusal"], record["actor"]) == (reason, actor)
    assert (await some.ledger.load(ReadSet(counters=[key]))).usage(key).used == 100
    assert (await some.budgets.adjust(adjustment(10, actor, budget_id="b", scope_key=member))).counter.usage.used == 110
    assert (await some.budgets.adjust(adjustment(-10, budget_id="b", scope_key=member))).counter.usage.used == 100


async def test_the_user_of_a_run_does_not_give_back_to_it() -> None:
    some = Operators(acme=tenant(limits={"max_tokens": 900, "max_same_action": 50}))
    await some.ledger.commit([commitment(1, decided_at_us=NOW_US - 1)])
    await spend(some, 900, "run:run_1", "limits.max_tokens", "tokens", "run:run_1", 0)
    await spend(some, 50, "run:run_1:abc", "limits.max_same_action", "calls", "run:run_1", 0)
    for budget_id, member in (("limits.max_tokens", "run:run_1"), ("limits.max_same_action", "run:run_1:abc")):
        with pytest.raises(PermissionDeniedError) as refused:
            await some.budgets.adjust(adjustment(-1, "u_1", budget_id=budget_id, scope_key=member))
        assert refused.value.reason == "CONCERNED_MAY_NOT_CHANGE"
        await some.budgets.adjust(adjustment(-1, budget_id=budget_id, scope_key=member))
