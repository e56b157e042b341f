"""No order of decisions and reports of a hostile runtime moves more than a budget's limit and the bound of its
give-backs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from placet.actions.outcome import OutcomeStatus
from placet.audit.verification.verify_trail import verify_trail
from placet.budgets.give_backs import GiveBackBounds
from placet.kernel.model import Decision
from placet.outcomes.expiry import expire_due
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from tests.support.fakes import new_request
from tests.support.outcome_env import MONEY, SECOND_US, OutcomeEnv, report
from tests.support.replacing import replace

LIMIT = 100
DAY_US = 86_400 * SECOND_US
CALLS = {
    "id": "calls",
    "scope": "tenant",
    "measure": "calls",
    "limit": 7,
    "window": "lifetime",
    "unreported": "release",
}
REPEATS = 4
ASK = st.tuples(st.just("ask"), st.integers(1, LIMIT), st.sampled_from(["run_1", "run_2"]), st.booleans())
REPORT = st.tuples(
    st.just("report"), st.integers(0, 30), st.sampled_from(OutcomeStatus), st.none() | st.integers(0, LIMIT)
)
WAIT = st.tuples(st.just("wait"), st.sampled_from([1, 66, 901, 40_000]), st.booleans(), st.just(0))
STEPS = st.lists(st.one_of(ASK, REPORT, REPORT, WAIT), max_size=60)
BOUNDS = st.builds(GiveBackBounds, st.integers(0, 5), st.sampled_from([0, 10, 50, 100, 150]))


class Hostile:
    """A runtime that makes every call that it is allowed to make, and reports what it likes."""

    def __init__(self, bounds: GiveBackBounds) -> None:
        limits = {"max_same_action": REPEATS}
        self.env = OutcomeEnv(budgets=[{**MONEY, "unreported": "release"}, CALLS], limits=limits)
        self.service = OutcomeService(self.env.ledger, self.env.source, self.env.clock, bounds=bounds)
        self.bounds = bounds
        self.allowed: list[str] = []
        self.moved: Counter[int] = Counter()
        self.repeated: Counter[str] = Counter()

    async def ask(self, minor_units: int, run_id: str, permit: bool) -> None:  # noqa: FBT001 - drawn
        money = {"currency_code": "USD", "minor_units": minor_units}
        request = new_request("pay", action__amount=money, run__run_id=run_id)
        [decision] = await self.env.point.decide([replace(request, permit=permit)])
        assert isinstance(decision, Decision)
        if decision.effect == "allow":
            self.allowed.append(decision.decision_id)
            self.moved[self.env.clock.wall // DAY_US] += minor_units
            self.repeated[run_id] += 1

    async def report(self, index: int, status: OutcomeStatus, amount: int | None) -> None:
        if self.allowed:
            decision_id = self.allowed[index % len(self.allowed)]
            await self.service.report([report(decision_id, status, amount_minor_units=amount)])

    async def wait(self, seconds: int, expire: bool, _: int) -> None:  # noqa: FBT001 - drawn
        self.env.clock.wall += seconds * SECOND_US
        if expire:
            await expire_due(self.env.ledger, self.env.clock, self.env.source, self.bounds)

    async def play(self, steps: list[tuple[Any, ...]]) -> None:
        for name, *values in steps:
            await getattr(self, name)(*values)


@given(bounds=BOUNDS, steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_no_order_of_reports_moves_more_than_limit_and_bound(
    bounds: GiveBackBounds, steps: list[tuple[Any, ...]]
) -> None:
    hostile = Hostile(bounds)
    asyncio.run(hostile.play(steps))
    extra = 100 + bounds.max_percent
    assert all(moved <= LIMIT * extra // 100 for moved in hostile.moved.values())
    assert len(hostile.allowed) <= 7 * extra // 100
    assert all(calls <= REPEATS for calls in hostile.repeated.values())
    assert verify_trail(hostile.env.ledger, lambda *_: True, state=True).ok


async def test_the_runtime_of_this_test_moves_both() -> None:
    """The property is not true because nothing happens: without bounds this runtime moves thirty limits."""
    hostile = Hostile(GiveBackBounds(max_per_run=1_000, max_percent=10_000))
    hostile.env = OutcomeEnv(budgets=[MONEY])
    hostile.service = OutcomeService(hostile.env.ledger, hostile.env.source, hostile.env.clock)
    for index in range(30):
        await hostile.ask(LIMIT, "run_1", permit=False)
        reply = await hostile.service.report([report(hostile.allowed[index], OutcomeStatus.NOT_EXECUTED)])
        assert isinstance(reply[0], OutcomeReceipt)
    assert sum(hostile.moved.values()) == 30 * LIMIT
