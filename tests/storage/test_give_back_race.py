"""Two servers take reports at the same time: together they give back the bound, and not one unit more."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from placet.actions.outcome import OutcomeStatus
from placet.budgets.give_backs import GiveBackBounds, given_back_counter, kept_counter
from placet.controls.snapshot import ControlState
from placet.decision.gathering import NO_MAX_AGE, Gatherer
from placet.decision.pipeline import decision_point
from placet.decision.recorder import Recorder
from placet.kernel.model import Decision
from placet.kernel.state import CounterKey, ReadSet
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from placet.scheduling.batching import Batcher
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import CountedIds, FixedClock, ScriptedPolicy, ScriptedSource, new_request
from tests.support.outcome_env import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.audit.ports import Ledger
    from placet.storage.sqlite.backend import SqliteLedger
    from tests.storage.replicas import Replicas

CALLS = 120
MONEY = CounterKey("acme", "money", "amount:USD", "lifetime", "tenant")
FILE = {
    "write_tools": ["pay"],
    "budgets": [
        {"id": "money", "scope": "tenant", "measure": "amount", "currency": "USD", "limit": Decimal(12)}
        | {"window": "lifetime"}
    ],
}
BOUNDS = GiveBackBounds(max_per_run=40, max_percent=50)


async def allowed(ledger: Ledger, source: ScriptedSource, clock: FixedClock) -> list[str]:
    """Allow CALLS payments of 10 in four runs."""
    errors: list[BaseException] = []
    point = decision_point(
        Gatherer(source, ledger, ControlState(ledger), clock, NO_MAX_AGE),
        Recorder(clock, CountedIds(), 900),
        errors.append,
        lambda *told: errors.append(AssertionError(*told)),
    )
    money = {"currency_code": "USD", "minor_units": 10}
    requests = [new_request("pay", action__amount=money, run__run_id=f"run_{index % 4}") for index in range(CALLS)]
    decisions = await point.decide(requests)
    assert not errors
    return [each.decision_id for each in decisions if isinstance(each, Decision) and each.effect == "allow"]


async def require_bounded(ledgers: list[Ledger]) -> None:
    """Report that none of the calls was executed, at all ledgers at once, and require what counts afterwards."""
    clock = FixedClock()
    source = ScriptedSource(ScriptedPolicy(agent_policies={"acme": TenantPolicy.model_validate(FILE)}))
    ids = await allowed(ledgers[0], source, clock)
    assert len(ids) == CALLS
    services = [OutcomeService(ledger, source, clock, bounds=BOUNDS) for ledger in ledgers]
    queues = [Batcher(service.report, depth_max=10_000) for service in services]
    reports = [report(each, OutcomeStatus.NOT_EXECUTED) for each in ids]
    replies = await asyncio.gather(
        *(queues[index % len(queues)].submit([each]) for index, each in enumerate([*reports, *reports]))
    )
    assert all(isinstance(reply, OutcomeReceipt) for [reply] in replies)
    counters = [MONEY, given_back_counter(MONEY), kept_counter(MONEY)]
    snapshot = await ledgers[0].load(ReadSet(counters=counters))
    usages = [snapshot.usage(counter) for counter in counters]
    assert [(usage.used, usage.reserved) for usage in usages] == [(600, 0), (0, 600), (600, 0)]
    assert (await ledgers[0].verify()).ok


@pytest.mark.parametrize("servers", [1, 2])
async def test_reports_at_once_on_sqlite(open_ledger: Callable[[], SqliteLedger], servers: int) -> None:
    ledger = open_ledger()
    await require_bounded([ledger] * servers)


async def test_reports_at_once_on_postgres(replicas: Replicas) -> None:
    await require_bounded([replicas.open("w1"), replicas.open("w2")])
