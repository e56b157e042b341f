"""Streams of one replica have the changes that all replicas write: two replicas decide on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING

from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub
from placet.watch.state import DecisionState
from tests.support.approval_env import ONE_LEAD, ApprovalEnv, vote_command
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
        ids.count = number * 1_000
        self.hub = Hub(self.ledger, self.errors.append)
        self.feeds = ChangeFeeds(self.ledger, self.hub, self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.hub.run())
        try:
            async with asyncio.timeout(SECONDS_MAX):
                yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_a_stream_has_decisions_of_another_replica_and_resumes_from_any_cursor(replicas: Replicas) -> None:
    one, two = Replica(replicas, "w1", 1), Replica(replicas, "w2", 2)
    async with one.running():
        approval = await two.pending_approval()
        async with aclosing(one.feeds.decision("acme", approval.decision_id, {})) as changes:
            received = [await anext(changes)]
            await two.approvals.approve(vote_command(approval))
            received.append(await anext(changes))
            await one.ask(approval_id=approval.approval_id)
            received += [change async for change in changes]
        states = [DecisionState.PENDING, DecisionState.APPROVED, DecisionState.USED]
        assert [change.state for change in received] == states
        assert set(received[-1].cursor) == {"w1", "w2"}
        for index, change in enumerate(received):
            again = one if index % 2 else two
            async with two.running():
                rest = [later async for later in again.feeds.decision("acme", approval.decision_id, change.cursor)]
            assert rest == received[index + 1 :]


async def test_a_stream_has_the_approvals_of_all_replicas_once(replicas: Replicas) -> None:
    one, two = Replica(replicas, "w1", 1), Replica(replicas, "w2", 2)
    async with one.running():
        cursor = None
        received: list[str] = []
        opened: list[str] = []
        for _ in range(3):
            async with aclosing(one.feeds.approvals("acme", cursor)) as changes:
                if cursor is None:
                    assert (await anext(changes)).approval is None
                for replica in (one, two, two):
                    opened.append((await replica.pending_approval(run={"run_id": f"r{len(opened)}"})).approval_id)
                    change = await anext(changes)
                    assert change.approval is not None
                    received.append(change.approval.approval_id)
                    cursor = change.cursor
            opened.append(
                (await two.pending_approval(run={"run_id": f"r{len(opened)}"})).approval_id
            )  # without a stream
            async with aclosing(one.feeds.approvals("acme", cursor)) as changes:
                change = await anext(changes)
                assert change.approval is not None
                received.append(change.approval.approval_id)
                cursor = change.cursor
        assert received == opened
