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
from tests.support.fakes import new_request
from tests.support.outcome_env import CALLS, MONEY, SECOND_US, OutcomeEnv

TTL_US = limits.RESERVATION_TTL_SECONDS * SECOND_US
HOUR_US = 3_600 * SECOND_US


async def expire(env: OutcomeEnv) -> int:
    return await expire_due(env.ledger, env.clock)


async def test_nothing_expires_before_its_time() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    await env.pay(40)
    env.clock.wall += TTL_US - 1
    assert await expire(env) == 0
    assert await env.usage("money") == (0, 40)
    env.clock.wall += 1
    assert await expire(env) == 1
    assert await env.usage("money") == (40, 0)


async def test_what_was_reported_does_not_expire() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    await env.report(await env.pay(40), OutcomeStatus.NOT_EXECUTED)
    env.clock.wall += TTL_US
    assert await expire(env) == 0
    assert env.bodies(RecordKind.RESERVATION_EXPIRED) == []


async def test_each_expiry_is_a_record_that_says_what_it_did() -> None:
    env = OutcomeEnv(budgets=[MONEY, CALLS])
    decision_id = await env.pay(40)
    env.clock.wall += TTL_US
    await expire(env)
    [said] = env.bodies(RecordKind.RESERVATION_EXPIRED)
    assert (said["decision_id"], said["tenant"], said["expires_at_us"]) == (decision_id, "acme", env.clock.wall)
    assert said["settled"] == [
        {"budget_id": "calls", "unit": "calls", "reserved": -1, "used": 0},
        {"budget_id": "money", "unit": "amount:USD", "reserved": -40, "used": 40},
    ]
    assert (await env.ledger.verify()).ok


async def test_two_replicas_that_look_at_once_expire_each_reservation_once() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    for _ in range(5):
        await env.pay(10)
    env.clock.wall += TTL_US
    env.raced.after_read = partial(expire, env)
    assert await expire(env) == 0
    assert len(env.bodies(RecordKind.RESERVATION_EXPIRED)) == 5
    assert await env.usage("money") == (50, 0)


async def test_more_than_a_portion_expires_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "EXPIRY_ROWS_MAX", 2)
    env = OutcomeEnv(budgets=[MONEY])
    for _ in range(5):
        await env.pay(10)
    env.clock.wall += TTL_US
    assert await expire(env) == 5
    assert await env.usage("money") == (50, 0)


async def test_a_store_that_fails_expires_nothing_and_the_next_look_does() -> None:
    env = OutcomeEnv(budgets=[MONEY])
    await env.pay(40)
    env.clock.wall += TTL_US
    env.ledger.full = True
    with pytest.raises(LedgerUnavailableError):
        await expire(env)
    env.ledger.full = False
    assert await env.usage("money") == (0, 40)
    assert await expire(env) == 1


async def test_keys_are_forgotten_after_their_time_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "PURGED_KEYS_MAX", 2)
    env = OutcomeEnv()
    old = [new_request() for _ in range(5)]
    first = await env.point.decide(old)
    env.clock.wall += 24 * HOUR_US
    await env.point.decide([new_request()])
    assert await purge_idempotency_keys(env.ledger, env.clock, 24) == 0
    assert await env.point.decide(old) == first
    env.clock.wall += 1
    assert await purge_idempotency_keys(env.ledger, env.clock, 24) == 5
    assert env.ledger.keys_count() == 1
    [again] = await env.point.decide(old[:1])
    assert isinstance(again, Decision)
    assert again != first[0]
    assert sum(said["keys"] for said in env.bodies(RecordKind.KEYS_SWEPT)) == 5
    assert (await env.ledger.verify()).ok
