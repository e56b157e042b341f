"""What was reserved becomes what was used, exactly: nothing is lost, doubled or cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.actions.outcome import Outcome, OutcomeStatus
from placet.budgets.charges import charges
from placet.budgets.holds import Hold
from placet.budgets.model import Unreported
from placet.budgets.reservations import (
    Reservation,
    ReservationState,
    expire,
    from_row,
    open_reservation,
    settle,
    to_row,
)
from placet.kernel.model import Caller
from placet.kernel.state import ZERO_USAGE, CounterKey, Reserve, Usage
from tests.support.builders import at, budget, policy, proposal
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.state import Settle

NOW = at("2026-04-24T10:00:00+00:00")
UNITS = ("calls", "tokens", "cost", "amount:USD")


def hold(unit: str, amount: int, *, limit: int = 100, unreported: Unreported = Unreported.COUNT) -> Hold:
    return Hold(CounterKey("acme", f"b_{unit.partition(':')[0]}", unit, "day", "tenant"), amount, limit, 0, unreported)


def held(*holds: Hold) -> Reservation:
    return Reservation("acme", "dec_1", "me", "pay", "bot", "u", "r", "w", holds, ReservationState.HELD, NOW, NOW + 1)


def used(reservation: Reservation, outcome: Outcome, counters: dict[CounterKey, Usage] | None = None) -> list[int]:
    """What each changed counter has more of."""
    return [change.used for change in settle(reservation, outcome, counters or {}).changes]


ALL = held(hold("calls", 1), hold("tokens", 50), hold("cost", 30), hold("amount:USD", 70))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(OutcomeStatus.SUCCEEDED), [1, 50, 30, 70]),
        (Outcome(OutcomeStatus.SUCCEEDED, tokens=5, cost_micros=40, amount_minor_units=60), [1, 55, 40, 60]),
        (Outcome(OutcomeStatus.UNKNOWN), [1, 50, 30, 70]),
        (Outcome(OutcomeStatus.FAILED), [1, 50, 30, 0]),
        (Outcome(OutcomeStatus.FAILED, cost_micros=0, amount_minor_units=20), [1, 50, 0, 20]),
        (Outcome(OutcomeStatus.NOT_EXECUTED), [0, 0, 0, 0]),
        (Outcome(OutcomeStatus.NOT_EXECUTED, tokens=7, cost_micros=3), [0, 7, 3, 0]),
    ],
)
def test_what_each_status_uses(outcome: Outcome, expected: list[int]) -> None:
    settlement = settle(ALL, outcome, {})
    assert [change.used for change in settlement.changes] == expected
    assert [change.reserved for change in settlement.changes] == [-1, -50, -30, -70]
    assert not settlement.late
    released = settlement.reservation.state is ReservationState.RELEASED
    assert released == (not any(expected))


def test_more_used_than_reserved_is_counted_in_full_and_named_where_it_breaks_the_limit() -> None:
    reservation = held(hold("cost", 30), hold("amount:USD", 70))
    cost, amount = (each.counter for each in reservation.holds)
    counters = {cost: Usage(used=60, reserved=30), amount: Usage(used=20, reserved=80)}
    settlement = settle(reservation, Outcome(OutcomeStatus.SUCCEEDED, cost_micros=40, amount_minor_units=71), counters)
    assert [change.used for change in settlement.changes] == [40, 71]
    assert settlement.exceeded_budget_ids == ("b_amount",)


def test_a_budget_that_was_beyond_its_limit_before_is_not_blamed_on_a_call_that_used_what_it_reserved() -> None:
    reservation = held(hold("amount:USD", 70))
    counters = {reservation.holds[0].counter: Usage(used=500, reserved=70)}
    assert settle(reservation, Outcome(OutcomeStatus.SUCCEEDED), counters).exceeded_budget_ids == ()


@pytest.mark.parametrize(("used_before", "exceeded"), [(29, ()), (30, ()), (31, ("b_cost",))])
def test_a_limit_is_exceeded_by_the_sum_of_used_and_reserved(used_before: int, exceeded: tuple[str, ...]) -> None:
    reservation = held(hold("cost", 30))
    counters = {reservation.holds[0].counter: Usage(used=used_before, reserved=30 + 30)}
    settlement = settle(reservation, Outcome(OutcomeStatus.SUCCEEDED, cost_micros=40), counters)
    assert settlement.exceeded_budget_ids == exceeded


def test_what_is_far_above_the_reservation_is_not_counted_but_becomes_the_excess() -> None:
    reservation = held(hold("cost", 30))
    settlement = settle(reservation, Outcome(OutcomeStatus.SUCCEEDED, cost_micros=500), {}, factor=10)
    assert [change.used for change in settlement.changes] == [300]
    assert [(part.counter, part.amount) for part in settlement.excess] == [(reservation.holds[0].counter, 200)]


def test_nobody_reported_counts_or_releases_as_the_budget_says() -> None:
    reservation = held(hold("cost", 30), hold("amount:USD", 70, unreported=Unreported.RELEASE))
    expired, changes = expire(reservation)
    assert expired.state is ReservationState.EXPIRED
    assert [(change.reserved, change.used) for change in changes] == [(-30, 30), (-70, 0)]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(OutcomeStatus.SUCCEEDED), [(0, 70)]),
        (Outcome(OutcomeStatus.SUCCEEDED, cost_micros=25), [(0, -5), (0, 70)]),
        (Outcome(OutcomeStatus.NOT_EXECUTED), [(0, -30)]),
    ],
)
def test_a_late_outcome_puts_right_what_expiry_did(outcome: Outcome, expected: list[tuple[int, int]]) -> None:
    expired, _ = expire(held(hold("cost", 30), hold("amount:USD", 70, unreported=Unreported.RELEASE)))
    settlement = settle(expired, outcome, {})
    assert settlement.late
    assert [(change.reserved, change.used) for change in settlement.changes] == expected


def test_a_late_outcome_may_exceed_what_others_took_meanwhile() -> None:
    expired, _ = expire(held(hold("amount:USD", 70, unreported=Unreported.RELEASE)))
    counters = {expired.holds[0].counter: Usage(used=31)}
    assert settle(expired, Outcome(OutcomeStatus.SUCCEEDED), counters).exceeded_budget_ids == ("b_amount",)


@pytest.mark.parametrize("state", [ReservationState.SETTLED, ReservationState.RELEASED])
def test_a_reservation_is_settled_once(state: ReservationState) -> None:
    ended = replace(ALL, state=state)
    with pytest.raises(AssertionError):
        settle(ended, Outcome(OutcomeStatus.SUCCEEDED), {})
    with pytest.raises(AssertionError):
        expire(ended)


def test_a_reservation_is_made_of_charges_and_survives_its_row() -> None:
    tenant = policy(
        budgets=[
            budget(id="money", measure="amount", currency="USD", limit=100, unreported="release"),
            budget(id="often", scope="user"),
        ]
    )
    asked = proposal(amount=(4_500, "USD"))
    charged, faults = charges(tenant, asked, NOW)
    assert not faults
    reservation = open_reservation("dec_1", asked, Caller("me"), charged, NOW, 900)
    assert {each.budget_id: (each.amount, each.unreported) for each in reservation.holds} == {
        "money": (4_500, Unreported.RELEASE),
        "often": (1, Unreported.COUNT),
    }
    row = to_row(reservation)
    assert (row.status, row.due_at_us) == ("held", NOW + 900_000_000)
    assert from_row(replace(row, version=3)) == replace(reservation, version=3)
    assert to_row(expire(reservation)[0]).due_at_us == 0


HOLDS = st.lists(
    st.builds(
        hold,
        st.sampled_from(UNITS),
        st.integers(0, 60),
        unreported=st.sampled_from(Unreported),
    ),
    max_size=4,
    unique_by=lambda each: each.counter,
)
COUNTS = st.none() | st.integers(0, 120)
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(OutcomeStatus),
    tokens=COUNTS,
    cost_micros=COUNTS,
    amount_minor_units=COUNTS,
)
STEPS = st.lists(st.tuples(HOLDS, st.sampled_from(["held", "expired", "told", "told late"]), OUTCOMES), max_size=12)


class Counters:
    """Counters as a ledger keeps them."""

    def __init__(self) -> None:
        self.usage: dict[CounterKey, Usage] = {}

    def make(self, changes: Sequence[Reserve | Settle]) -> None:
        for change in changes:
            usage = self.usage.get(change.counter, ZERO_USAGE)
            if isinstance(change, Reserve):
                moved = replace(usage, reserved=usage.reserved + change.amount)
            else:
                moved = replace(usage, reserved=usage.reserved + change.reserved, used=usage.used + change.used)
            self.usage[change.counter] = moved


def expected_use(each: Hold, outcome: Outcome) -> int:
    """The rules again, as the page of docs says them."""
    ran = outcome.status is not OutcomeStatus.NOT_EXECUTED
    match each.counter.unit:
        case "calls":
            return each.amount if ran else 0
        case "tokens":
            return (each.amount if ran else 0) + (outcome.tokens or 0)
        case "cost":
            return outcome.cost_micros if outcome.cost_micros is not None else each.amount if ran else 0
    if outcome.amount_minor_units is not None:
        return outcome.amount_minor_units
    return each.amount if outcome.status in {OutcomeStatus.SUCCEEDED, OutcomeStatus.UNKNOWN} else 0


@given(STEPS)
def test_counters_are_the_sum_over_reservations(steps: list[tuple[list[Hold], str, Outcome]]) -> None:
    counters = Counters()
    reserved: dict[CounterKey, int] = {}
    spent: dict[CounterKey, int] = {}
    for holds, fate, outcome in steps:
        reservation = held(*holds)
        counters.make([Reserve(each.counter, each.amount, None) for each in holds])
        if fate in {"expired", "told late"}:
            reservation, changes = expire(reservation)
            counters.make(changes)
        if fate in {"told", "told late"}:
            settlement = settle(reservation, outcome, counters.usage)
            before = dict(counters.usage)
            counters.make(settlement.changes)
            for each in holds:
                was, now = before.get(each.counter, ZERO_USAGE), counters.usage.get(each.counter, ZERO_USAGE)
                beyond = now.used + now.reserved > max(each.limit, was.used + was.reserved)
                assert (each.budget_id in settlement.exceeded_budget_ids) == beyond
        for each in holds:
            counts = each.unreported is Unreported.COUNT
            use = expected_use(each, outcome) if fate.startswith("told") else each.amount if counts else 0
            kept = reserved if fate == "held" else spent
            kept[each.counter] = kept.get(each.counter, 0) + (each.amount if fate == "held" else use)
    for key, usage in counters.usage.items():
        assert (usage.used, usage.reserved) == (spent.get(key, 0), reserved.get(key, 0))
