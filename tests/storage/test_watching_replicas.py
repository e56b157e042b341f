"""Those who watch one replica are told what all of them write; decided on PostgreSQL by two."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING

from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub
from placet.watch.state import DecisionState
from tests.support.approving import ONE_LEAD, ApprovalEnv, word
from tests.support.fakes import CountedIds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.storage.replicas import Replicas

SECONDS_MAX = 30.0


class Replica(ApprovalEnv):
    """A decision point on a database that it shares with others."""

    def __init__(self, replicas: Replicas, writer: str, number: int) -> None:
        super().__init__(ONE_LEAD, ledger=lambda **_: replicas.open(writer))  # type: ignore[arg-type] # any will do
        ids = self.point.commitments.recorder.ids
        assert isinstance(ids, CountedIds)
        ids.given = number * 1_000
        self.hub = Hub(self.ledger, self.faults.append)
        self.following = ChangeFeeds(self.ledger, self.hub, self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.hub.run())
        try:
            async with asyncio.timeout(SECONDS_MAX):
                yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_what_another_replica_decides_is_told_and_resumed_from_any_cursor(replicas: Replicas) -> None:
    one, two = Replica(replicas, "w1", 1), Replica(replicas, "w2", 2)
    async with one.running():
        approval = await two.asked()
        async with aclosing(one.following.decision("acme", approval.decision_id, {})) as changes:
            told = [await anext(changes)]
            await two.approvals.approve(word(approval))
            told.append(await anext(changes))
            await one.ask(approval_id=approval.approval_id)
            told += [change async for change in changes]
        states = [DecisionState.PENDING, DecisionState.APPROVED, DecisionState.USED]
        assert [change.state for change in told] == states
        assert set(told[-1].cursor) == {"w1", "w2"}
        for place, change in enumerate(told):
            again = one if place % 2 else two
            async with two.running():
                rest = [each async for each in again.following.decision("acme", approval.decision_id, change.cursor)]
            assert rest == told[place + 1 :]


async def test_approvals_of_all_replicas_are_told_and_none_twice(replicas: Replicas) -> None:
    one, two = Replica(replicas, "w1", 1), Replica(replicas, "w2", 2)
    async with one.running():
        cursor = None
        told: list[str] = []
        asked: list[str] = []
        for _ in range(3):
            async with aclosing(one.following.approvals("acme", cursor)) as changes:
                if cursor is None:
                    assert (await anext(changes)).approval is None
                for replica in (one, two, two):
                    asked.append((await replica.asked(run={"run_id": f"r{len(asked)}"})).approval_id)
                    change = await anext(changes)
                    assert change.approval is not None
                    told.append(change.approval.approval_id)
                    cursor = change.cursor
            asked.append((await two.asked(run={"run_id": f"r{len(asked)}"})).approval_id)  # while nobody is connected
            async with aclosing(one.following.approvals("acme", cursor)) as changes:
                change = await anext(changes)
                assert change.approval is not None
                told.append(change.approval.approval_id)
                cursor = change.cursor
        assert told == asked
