"""What nobody reports on expires once, whoever looks; idempotency keys are kept for their time, and no longer."""

from __future__ import annotations

from functools import partial

import pytest

from placet.actions.outcome import OutcomeStatus
from placet.audit.records import RecordKind
from placet.kernel import limits
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.model import Decision
from placet.outcomes import expiry
from placet.outcomes.expiry import expire_due, purge_idempotency_keys
from tests.support.desk import CALLS, MONEY, SECOND_US, Desk
from tests.support.fakes import asked

TTL_US = limits.RESERVATION_TTL_SECONDS * SECOND_US
HOUR_US = 3_600 * SECOND_US


async def expire(desk: Desk) -> int:
    return await expire_due(desk.ledger, desk.clock)


async def test_nothing_expires_before_its_time() -> None:
    desk = Desk(budgets=[MONEY])
    await desk.pay(40)
    desk.clock.wall += TTL_US - 1
    assert await expire(desk) == 0
    assert await desk.usage("money") == (0, 40)
    desk.clock.wall += 1
    assert await expire(desk) == 1
    assert await desk.usage("money") == (40, 0)


async def test_what_was_reported_does_not_expire() -> None:
    desk = Desk(budgets=[MONEY])
    await desk.tell(await desk.pay(40), OutcomeStatus.NOT_EXECUTED)
    desk.clock.wall += TTL_US
    assert await expire(desk) == 0
    assert desk.bodies(RecordKind.RESERVATION_EXPIRED) == []


async def test_each_expiry_is_a_record_that_says_what_it_did() -> None:
    desk = Desk(budgets=[MONEY, CALLS])
    decision_id = await desk.pay(40)
    desk.clock.wall += TTL_US
    await expire(desk)
    [said] = desk.bodies(RecordKind.RESERVATION_EXPIRED)
    assert (said["decision_id"], said["tenant"], said["expires_at_us"]) == (decision_id, "acme", desk.clock.wall)
    assert said["settled"] == [
        {"budget_id": "calls", "unit": "calls", "reserved": -1, "used": 0},
        {"budget_id": "money", "unit": "amount:USD", "reserved": -40, "used": 40},
    ]
    assert (await desk.ledger.verify()).ok


async def test_two_replicas_that_look_at_once_expire_each_reservation_once() -> None:
    desk = Desk(budgets=[MONEY])
    for _ in range(5):
        await desk.pay(10)
    desk.clock.wall += TTL_US
    desk.raced.after_look = partial(expire, desk)
    assert await expire(desk) == 0
    assert len(desk.bodies(RecordKind.RESERVATION_EXPIRED)) == 5
    assert await desk.usage("money") == (50, 0)


async def test_more_than_a_portion_expires_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "EXPIRY_ROWS_MAX", 2)
    desk = Desk(budgets=[MONEY])
    for _ in range(5):
        await desk.pay(10)
    desk.clock.wall += TTL_US
    assert await expire(desk) == 5
    assert await desk.usage("money") == (50, 0)


async def test_a_store_that_fails_expires_nothing_and_the_next_look_does() -> None:
    desk = Desk(budgets=[MONEY])
    await desk.pay(40)
    desk.clock.wall += TTL_US
    desk.ledger.full = True
    with pytest.raises(LedgerUnavailableError):
        await expire(desk)
    desk.ledger.full = False
    assert await desk.usage("money") == (0, 40)
    assert await expire(desk) == 1


async def test_keys_are_forgotten_after_their_time_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "SWEEP_KEYS_MAX", 2)
    desk = Desk()
    old = [asked() for _ in range(5)]
    first = await desk.point.decide(old)
    desk.clock.wall += 24 * HOUR_US
    await desk.point.decide([asked()])
    assert await purge_idempotency_keys(desk.ledger, desk.clock, 24) == 0
    assert await desk.point.decide(old) == first
    desk.clock.wall += 1
    assert await purge_idempotency_keys(desk.ledger, desk.clock, 24) == 5
    assert desk.ledger.keys_count() == 1
    [again] = await desk.point.decide(old[:1])
    assert isinstance(again, Decision)
    assert again != first[0]
    assert sum(said["keys"] for said in desk.bodies(RecordKind.KEYS_SWEPT)) == 5
    assert (await desk.ledger.verify()).ok
