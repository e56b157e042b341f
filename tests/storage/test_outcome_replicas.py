"""Two replicas on one PostgreSQL take reports and expire at the same time: each reservation is settled once."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from placet.actions.outcome import OutcomeStatus
from placet.controls.snapshot import ControlState
from placet.decision.gathering import NO_MAX_AGE, Gatherer
from placet.decision.pipeline import decision_point
from placet.decision.recorder import Recorder
from placet.kernel.model import Decision
from placet.kernel.state import CounterKey, ReadSet
from placet.outcomes.expiry import expire_due
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from placet.scheduling.batching import Batcher
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import CountedIds, FixedClock, ScriptedPolicy, ScriptedSource, new_request
from tests.support.outcome_env import report

if TYPE_CHECKING:
    from placet.actions.outcome import OutcomeReport
    from placet.audit.ports import Ledger
    from placet.outcomes.service import OutcomeReply
    from tests.storage.replicas import Replicas

CALLS = 200
LANES = 8
MONEY = CounterKey("acme", "money", "amount:USD", "lifetime", "tenant")
SAID = {
    "allowed_tools": ["look"],
    "write_tools": ["pay"],
    "budgets": [
        {
            "id": "money",
            "scope": "tenant",
            "measure": "amount",
            "currency": "USD",
            "limit": Decimal(1_000),
            "window": "lifetime",
        }
    ],
    "limits": {"breaker": {"error_rate": Decimal("0.5"), "min_calls": 1_000_000, "scopes": ["tool", "tenant"]}},
}


class Replica:
    """What one replica does with outcomes."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clock = FixedClock()
        self.errors: list[BaseException] = []
        agent_policy = TenantPolicy.model_validate(SAID)
        self.source = ScriptedSource(ScriptedPolicy(agent_policies={"acme": agent_policy}))
        self.reports: Batcher[OutcomeReport, OutcomeReply] = Batcher(
            OutcomeService(ledger, self.source, self.clock).report, depth_max=10_000
        )

    async def allow(self, calls: int) -> list[str]:
        """The ids of so many allowed payments of 10 each."""
        controls = ControlState(self.ledger)
        point = decision_point(
            Gatherer(self.source, self.ledger, controls, self.clock, NO_MAX_AGE),
            Recorder(self.clock, CountedIds(), 900),
            self.errors.append,
            lambda *told: self.errors.append(AssertionError(*told)),
        )
        money = {"currency_code": "USD", "minor_units": 10}
        made = await point.decide([new_request("pay", action__amount=money) for _ in range(calls)])
        assert not self.errors
        return [each.decision_id for each in made if isinstance(each, Decision) and each.effect == "allow"]

    async def report(self, decision_id: str, **said: Any) -> OutcomeReply:
        return (await self.reports.submit([report(decision_id, OutcomeStatus.SUCCEEDED, **said)]))[0]


async def test_both_take_reports_of_the_same_calls(replicas: Replicas) -> None:
    one, two = Replica(replicas.open("w1")), Replica(replicas.open("w2"))
    ids = await one.allow(CALLS)
    assert len(ids) == CALLS
    told = await asyncio.gather(*(replica.report(each) for each in ids for replica in (one, two)))
    said = Counter(each.repeated if isinstance(each, OutcomeReceipt) else type(each).__name__ for each in told)
    assert said == {False: CALLS, True: CALLS}
    known = await one.ledger.load(ReadSet(counters=[MONEY]))
    assert (known.usage(MONEY).used, known.usage(MONEY).reserved) == (CALLS * 10, 0)
    assert (await one.ledger.verify()).ok


async def test_successes_of_one_tool_are_never_lost_to_the_breaker_that_both_count_at(replicas: Replicas) -> None:
    one, two = Replica(replicas.open("w1")), Replica(replicas.open("w2"))
    ids = await one.allow(CALLS)

    async def work(replica: Replica, mine: list[str]) -> list[OutcomeReply]:
        return [await replica.report(each) for each in mine]

    lanes = await asyncio.gather(*(work((one, two)[lane % 2], ids[lane::LANES]) for lane in range(LANES)))
    told = [each for lane in lanes for each in lane]
    assert told == [OutcomeReceipt(repeated=False, late=False, exceeded_budget_ids=())] * CALLS
    known = await one.ledger.load(ReadSet(counters=[MONEY]))
    assert (known.usage(MONEY).used, known.usage(MONEY).reserved) == (CALLS * 10, 0)


async def test_expiry_and_late_reports_at_both(replicas: Replicas) -> None:
    one, two = Replica(replicas.open("w1")), Replica(replicas.open("w2"))
    ids = await one.allow(CALLS)
    for each in (one, two):
        each.clock.wall += 900_000_000
    reports = [replica.report(each, amount_minor_units=7) for each in ids[: CALLS // 2] for replica in (one, two)]
    expiries = [expire_due(each.ledger, each.clock) for each in (one, two)]
    told = (await asyncio.gather(*reports, *expiries))[: len(reports)]
    expired = sum([await expire_due(each.ledger, each.clock) for each in (one, two)])
    assert expired == 0
    said = Counter(each.repeated if isinstance(each, OutcomeReceipt) else type(each).__name__ for each in told)
    assert said == {False: CALLS // 2, True: CALLS // 2}
    known = await one.ledger.load(ReadSet(counters=[MONEY]))
    assert (known.usage(MONEY).used, known.usage(MONEY).reserved) == (CALLS // 2 * 17, 0)
    assert (await one.ledger.verify()).ok
