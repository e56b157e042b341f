"""What an action counts against, by how much, and what that means."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.budgets.charges import carried_over, charges
from placet.budgets.customers import customer_of
from placet.budgets.model import (
    Charge,
    OnExceed,
    exceeded,
    facts,
    finding,
    remaining,
    reserve,
    waived,
)
from placet.kernel import rule_ids
from placet.kernel.model import Effect, Proposal
from placet.kernel.state import CounterKey, Reserve, Usage
from tests.support.builders import at, budget, policy, proposal
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.kernel.model import Proposal

NOW = at("2026-10-24T22:30:00Z")
TOMORROW = at("2026-10-25T00:00:00Z")
AMOUNT = {"measure": "amount", "currency": "USD", "limit": 100}
COUNTS = st.integers(0, 2**53 - 1)


def key_of(asked: Proposal, pointer: str, sensitive: tuple[str, ...] = ()) -> str:
    """The customer's key, or the rule_id that says why there is none."""
    customer = customer_of(asked, pointer, sensitive)
    return customer if isinstance(customer, str) else customer.key


def charge_of(asked: Proposal, **said: Any) -> Charge:
    [charge], faults = charges(policy(budgets=[budget(**said)]), asked, NOW)
    assert faults == ()
    return charge


def fault_of(asked: Proposal, **said: Any) -> str:
    found, [fault] = charges(policy(budgets=[budget(**said)]), asked, NOW)
    assert found == ()
    assert fault.budget_id == "b"
    deny = fault.finding()
    assert (deny.effect, deny.rule_id, deny.reason) == (Effect.DENY, fault.rule_id, fault.reason)
    return fault.rule_id


def counted(asked: Proposal, **said: Any) -> bool:
    found, faults = charges(policy(budgets=[budget(**said)]), asked, NOW)
    assert faults == ()
    return bool(found)


def test_a_charge_names_its_counter() -> None:
    charge = charge_of(proposal(), scope="user")
    assert charge.counter == CounterKey("acme", "b", "calls", "2026-10-24", "user:u_1")
    assert (charge.amount, charge.resets_at_us, charge.budget.rule_id) == (1, TOMORROW, "budgets.b")


@pytest.mark.parametrize(
    ("said", "window_key", "scope_key"),
    [
        ({"scope": "tenant"}, "2026-10-24", "tenant"),
        ({"scope": "agent"}, "2026-10-24", "agent:bot"),
        ({"scope": "workflow", "window": "lifetime"}, "lifetime", "workflow:refunds"),
        ({"scope": "tool", "window": "month"}, "2026-10", "tool:pay"),
        ({"scope": "tool", "window": "run"}, "run:r_1", "tool:pay"),
        ({"scope": "run", "window": "run"}, "run:r_1", "run:r_1"),
        ({"scope": "run", "window": "minute"}, "2026-10-24T22:30+00:00", "run:r_1"),
        ({"scope": "user", "timezone": "Europe/Berlin"}, "2026-10-25", "user:u_1"),
        ({"scope": "customer", "customer": "/to/id"}, "2026-10-24", "customer:c_7"),
    ],
)
def test_each_member_of_a_scope_counts_apart(said: dict[str, Any], window_key: str, scope_key: str) -> None:
    counter = charge_of(proposal(params={"to": {"id": "C_7"}}), **said).counter
    assert (counter.window_key, counter.scope_key) == (window_key, scope_key)


@pytest.mark.parametrize(
    ("measure", "unit", "taken"),
    [("calls", "calls", 1), ("tokens", "tokens", 812), ("cost", "cost", 42), ("amount", "amount:USD", 4500)],
)
def test_what_is_measured(measure: str, unit: str, taken: int) -> None:
    asked = proposal(amount=(4500, "USD"), tokens=812, cost_micros=42)
    currency = {"currency": "USD"} if measure == "amount" else {}
    charge = charge_of(asked, measure=measure, **currency)
    assert (charge.counter.unit, charge.amount) == (unit, taken)


@pytest.mark.parametrize("measure", ["tokens", "cost"])
def test_what_nobody_estimated_takes_one_so_that_a_budget_used_up_stops_it(measure: str) -> None:
    charge = charge_of(proposal(), measure=measure, limit=1)
    assert charge.amount == 1
    assert exceeded(charge, Usage(used=charge.budget.limit))


def test_a_tools_fee_adds_to_what_the_model_costs() -> None:
    written = policy(budgets=[budget(measure="cost")], tools={"pay": {"cost": Decimal("0.05")}})
    [charge], _ = charges(written, proposal(cost_micros=7), NOW)
    assert charge.amount == 50_007
    [charge], _ = charges(written, proposal("mail", cost_micros=7), NOW)
    assert charge.amount == 7


def test_all_that_cover_an_action_are_told_in_the_order_of_their_ids() -> None:
    said = [budget(id="z"), budget(id="a.b"), budget(id="c", match={"tools": ["mail"]})]
    written = policy(budgets=said, spend_limits={"per_user_usd_per_day": Decimal("2.00")})
    found, _ = charges(written, proposal(), NOW)
    assert [charge.budget.id for charge in found] == ["a.b", "spend.per_user_per_day", "z"]
    assert [charge.budget.rule_id for charge in found][1] == rule_ids.SPEND_PER_USER


@pytest.mark.parametrize(
    ("match", "covered"),
    [
        ({}, True),
        ({"tools": ["pay"]}, True),
        ({"tools": ["pa?"]}, True),
        ({"tools": ["mail", "p*"]}, True),
        ({"tools": ["pay.*"]}, False),
        ({"workflows": ["refunds"]}, True),
        ({"workflows": ["other"]}, False),
        ({"environments": ["prod"], "tools": ["*"]}, True),
        ({"environments": ["dev"], "tools": ["*"]}, False),
    ],
)
def test_which_actions_a_budget_counts(match: dict[str, Any], covered: bool) -> None:  # noqa: FBT001
    assert counted(proposal(environment="prod"), match=match) is covered


def test_another_currency_is_a_deny_never_a_conversion() -> None:
    assert fault_of(proposal(amount=(1, "EUR")), **AMOUNT) == "budgets.currency"


def test_a_write_that_names_no_amount_does_not_slip_by() -> None:
    assert fault_of(proposal(), **AMOUNT) == "budgets.amount_missing"


def test_a_write_of_zero_does_not_slip_by_either() -> None:
    assert fault_of(proposal(amount=(0, "USD")), **AMOUNT) == "budgets.amount_missing"
    assert not counted(proposal(amount=(0, "USD"), dry_run=True), **AMOUNT)


def test_a_read_without_an_amount_moves_none() -> None:
    assert not counted(proposal("look"), **AMOUNT)
    assert not counted(proposal("look", amount=(0, "USD")), **AMOUNT)


def test_a_read_with_an_amount_counts() -> None:
    assert counted(proposal("look", amount=(1, "USD")), **AMOUNT)


def test_a_dry_run_moves_no_money() -> None:
    assert not counted(proposal(dry_run=True), **AMOUNT)
    assert counted(proposal(dry_run=True))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"to": None},
        {"to": {}},
        {"to": {"id": None}},
        {"to": {"id": ""}},
        {"to": {"id": " "}},
        {"to": {"id": True}},
        {"to": {"id": 7.5}},
        {"to": {"id": ["c_7"]}},
        {"to": {"id": {}}},
        {"to": ["c_7"]},
        {"to": "c_7"},
    ],
)
def test_a_path_that_leads_to_no_customer_is_a_deny(params: object) -> None:
    said = {"scope": "customer", "customer": "/to/id"}
    assert fault_of(proposal(params=params), **said) == "budgets.customer_missing"


@pytest.mark.parametrize(
    ("scope", "left_out"),
    [("run", {"run_id": ""}), ("workflow", {"workflow": ""}), ("user", {"user": ""})],
)
def test_who_leaves_out_what_a_budget_counts_by_is_denied(scope: str, left_out: dict[str, str]) -> None:
    window = "run" if scope == "run" else "day"
    assert fault_of(proposal(**left_out), scope=scope, window=window) == "budgets.scope_missing"  # type: ignore[arg-type] # texts alone


def test_what_counts_within_a_run_needs_one() -> None:
    assert fault_of(proposal(run_id=""), scope="tool", window="run") == "budgets.scope_missing"


@pytest.mark.parametrize("same", ["c_7", "C_7", " c_7\n", "\uff43_7", "\u0441_7"])
def test_spelling_makes_no_other_customer(same: str) -> None:
    assert key_of(proposal(params={"id": same}), "/id") == "c_7"


@pytest.mark.parametrize(
    "hidden",
    [
        "c\u200b7",
        "c\u00ad7",
        "c\u00007",
        "c\u034f7",
        "c\u31647",
        "c\u28007",
        "\u0441us_7",
        "c" * 300 + "\u200b",
        "\u3164",
    ],
)
def test_what_hides_or_misleads_is_no_customer(hidden: str) -> None:
    said = {"scope": "customer", "customer": "/id"}
    assert fault_of(proposal(params={"id": hidden}), **said) == "budgets.customer_invalid"


def test_a_number_and_its_text_are_one_customer() -> None:
    assert key_of(proposal(params={"id": 7}), "/id") == key_of(proposal(params={"id": "7"}), "/id") == "7"


def test_pointers_lead_into_lists_and_through_escapes() -> None:
    params = {"a/b": [{"x~y": "c_1"}]}
    assert key_of(proposal(params=params), "/a~1b/0/x~0y") == "c_1"
    assert key_of(proposal(params=params), "/a~1b/1/x~0y") == rule_ids.BUDGET_CUSTOMER_MISSING


@pytest.mark.parametrize(
    ("params", "sensitive"),
    [
        ({"id": "ann@example.com"}, ()),
        ({"id": "c_7"}, ("/id",)),
        ({"id": "c_7"}, ("/note", "/*")),
        ({"id": "x" * 300}, ()),
    ],
)
def test_personal_data_names_no_counter(params: dict[str, str], sensitive: tuple[str, ...]) -> None:
    name = key_of(proposal(params=params), "/id", sensitive)
    assert name.startswith("#")
    assert len(name) == 33
    assert name == key_of(proposal(params={"id": params["id"].upper()}), "/id", sensitive)
    assert name != key_of(proposal(params=params, tenant="globex"), "/id", sensitive)


@given(limit=st.integers(1, 2**53 - 1), used=COUNTS, reserved=COUNTS, amount=st.integers(1, 2**53 - 1))
def test_what_is_left_admits_just_what_is_not_exceeded(limit: int, used: int, reserved: int, amount: int) -> None:
    usage = Usage(used, reserved)
    charge = charge_of(proposal(amount=(amount, "JPY")), measure="amount", currency="JPY", limit=limit)
    left = remaining(limit, usage)
    assert 0 <= left <= limit
    if not exceeded(charge, usage):
        assert amount <= left
        assert exceeded(charge, Usage(used + left - amount + 1, reserved))
    else:
        assert amount > left or used + reserved > limit


def test_spending_beyond_the_limit_is_shown() -> None:
    assert remaining(10, Usage(12, 1)) == 0


def test_what_policy_sees() -> None:
    charge = charge_of(proposal(), limit=3, warn_at=Decimal("0.6"))
    assert facts([charge], {charge.counter: Usage(used=1, reserved=1)}) == {
        "b": {
            "used": 1,
            "reserved": 1,
            "limit": 3,
            "remaining": 1,
            "remaining_ratio": 0.3333,
            "warn": True,
            "resets_at": "2026-10-25T00:00:00.000000Z",
        }
    }
    [untouched] = facts([charge], {}).values()
    assert (untouched["used"], untouched["remaining_ratio"], untouched["warn"]) == (0, 1.0, False)


def test_a_ratio_is_rounded_down_so_that_little_left_is_not_more() -> None:
    charge = charge_of(proposal(), limit=1_000_000)
    [seen] = facts([charge], {charge.counter: Usage(1)}).values()
    assert seen["remaining_ratio"] == 0.9999


def test_a_window_without_end_never_resets() -> None:
    [seen] = facts([charge_of(proposal(), window="lifetime")], {}).values()
    assert (seen["resets_at"], seen["warn"]) == ("", False)


def test_an_exceeded_budget_denies_and_says_what_it_knows() -> None:
    said = finding(charge_of(proposal(), limit=3), Usage(2, 1))
    assert (said.effect, said.rule_id, said.reason) == (
        Effect.DENY,
        "budgets.b",
        "The budget b has no room for this action",
    )
    assert said.details == {
        "budget": "b",
        "unit": "calls",
        "limit": 3,
        "used": 2,
        "reserved": 1,
        "asked": 1,
        "resets_at": "2026-10-25T00:00:00.000000Z",
    }


def test_an_exceeded_budget_may_ask_for_people() -> None:
    approval = {"quorum": 2, "approver_roles": ["lead", "cfo"]}
    said = finding(charge_of(proposal(), on_exceed="require_approval", approval=approval), Usage(10))
    assert said.effect is Effect.REQUIRE_APPROVAL
    assert (said.details["quorum"], said.details["approver_roles"]) == (2, ["cfo", "lead"])


@pytest.mark.parametrize(
    ("on_exceed", "dry_run", "approved", "expected"),
    [
        (OnExceed.DENY, True, True, False),
        (OnExceed.DRAFT_ONLY, True, False, True),
        (OnExceed.DRAFT_ONLY, False, True, False),
        (OnExceed.REQUIRE_APPROVAL, True, False, False),
        (OnExceed.REQUIRE_APPROVAL, False, True, True),
    ],
)
def test_when_a_limit_does_not_hold(on_exceed: str, dry_run: bool, approved: bool, expected: bool) -> None:  # noqa: FBT001
    charge = charge_of(proposal(), on_exceed=on_exceed)
    assert waived(charge, dry_run=dry_run, approved=approved) is expected
    limit = None if expected else 10
    assert reserve(charge, dry_run=dry_run, approved=approved) == Reserve(charge.counter, 1, limit, TOMORROW)


@pytest.mark.parametrize(
    ("sensitive", "kept"),
    [(("/to",), False), (("/*/id",), False), (("/to/id/x", "/id", "/to/*/id"), True), ((), True)],
)
def test_what_stands_within_a_sensitive_place_is_sensitive(sensitive: tuple[str, ...], kept: bool) -> None:  # noqa: FBT001
    assert (key_of(proposal(params={"to": {"id": "c_7"}}), "/to/id", sensitive) == "c_7") is kept


def test_a_card_number_names_no_counter() -> None:
    assert key_of(proposal(params={"id": 4111111111111111}), "/id").startswith("#")


@given(*[st.integers(1, 1_000)] * 4)
def test_usage_under_the_key_of_an_earlier_version_is_added(used: int, reserved: int, old_used: int, old: int) -> None:
    charge = charge_of(proposal(user="U_1"), scope="user")
    assert charge.earlier is not None
    counters = {charge.counter: Usage(used, reserved, 5), charge.earlier: Usage(old_used, old, 3)}
    [carried], combined = carried_over([charge], counters)
    assert combined[charge.counter] == Usage(used + old_used, reserved + old, 3)
    assert carried == replace(charge, carried=old_used + old)
    assert carried_over([charge], {charge.counter: counters[charge.counter]}) == (
        (charge,),
        {charge.counter: counters[charge.counter]},
    )
