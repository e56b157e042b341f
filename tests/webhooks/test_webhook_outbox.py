"""Webhooks over a real ledger: stored in the transaction of the change that they report, and sent from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Commitment, Conflict, RecordKind
from placet.kernel.state import PutIfVersion, ReadSet, RequireVersion, RowKey, StateTable
from placet.notifications.delivery import new_delivery
from placet.signing.keys import generate_signing_key
from placet.storage.sqlite.backend import SqliteLedger
from placet.webhooks.outbox import Outbox
from tests.support.memory_ledger import MemoryLedger
from tests.webhooks.receiving import NOW_US, event, receiving
from tests.webhooks.sending import SenderEnv, SetClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from placet.kernel.state import Change, Row
    from placet.notifications.payload import WebhookEvent

LATER_US = NOW_US + 60_000_000


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryLedger | SqliteLedger]:
    errors: list[BaseException] = []
    key, clock = generate_signing_key(), SetClock()
    made: MemoryLedger | SqliteLedger
    if request.param == "memory":
        made = MemoryLedger(writer="w", signing_key=key, clock=clock)
    else:
        path = tmp_path / "placet.db"
        made = SqliteLedger.open(path, writer="w", signing_key=key, clock=clock, on_error=errors.append)
    yield made
    await made.close()
    assert not errors


def change(reported: WebhookEvent, *guards: Change) -> Commitment:
    changes = (*guards, PutIfVersion(new_delivery(reported)))
    return Commitment(RecordKind.APPROVAL_CANCELLED, "acme", NOW_US, {}, subject=reported.approval_id, changes=changes)


def raise_error(error: BaseException) -> None:
    raise error


async def row_of(ledger: MemoryLedger | SqliteLedger, sent: WebhookEvent) -> Row | None:
    key = new_delivery(sent).key
    return (await ledger.load(ReadSet((key,)))).rows.get(key)


async def test_a_change_that_conflicts_leaves_no_event(ledger: MemoryLedger | SqliteLedger) -> None:
    guard = RequireVersion(RowKey(StateTable.APPROVALS, "acme", event().approval_id), 7)
    [result] = await ledger.commit([change(event(), guard)])
    assert isinstance(result, Conflict)
    assert await row_of(ledger, event()) is None


async def test_the_event_of_a_change_is_sent_and_its_row_updated(ledger: MemoryLedger | SqliteLedger) -> None:
    await ledger.commit([change(event())])
    with receiving((500, {}, b"")) as receiver:
        env = SenderEnv(receiver.url, ledger=ledger)
        sender = env.sender()
        assert await sender.deliver_due() == 1
        env.clock.forward(5)
        assert await sender.deliver_due() == 1
        assert await sender.deliver_due() == 0
    row = await row_of(ledger, event())
    assert row is not None
    assert (row.status, row.due_at_us, row.version) == ("sent", 0, 5)
    assert len(receiver.requests) == 2


async def test_of_two_claims_one_wins(ledger: MemoryLedger | SqliteLedger) -> None:
    await ledger.commit([change(event(number)) for number in (1, 2, 3)])
    first, second = (Outbox(ledger, raise_error) for _ in range(2))
    assert len(await first.claim_due(NOW_US, LATER_US, 2)) == 2
    [other] = await second.claim_due(NOW_US, LATER_US, 2)
    assert await second.claim_due(NOW_US, LATER_US, 2) == []
    assert await second.mark_sent(other)
    assert not await second.give_up(other, "it is no longer mine")


async def test_a_claim_after_the_first_expired_wins(ledger: MemoryLedger | SqliteLedger) -> None:
    await ledger.commit([change(event())])
    first, second = (Outbox(ledger, raise_error) for _ in range(2))
    [mine] = await first.claim_due(NOW_US, LATER_US, 8)
    [theirs] = await second.claim_due(LATER_US, LATER_US + 1, 8)
    assert (mine.tries, theirs.tries, theirs.first_try_at_us) == (1, 2, NOW_US)
    assert not await first.retry_at(mine, LATER_US, "slow")
    assert await second.mark_sent(theirs)
