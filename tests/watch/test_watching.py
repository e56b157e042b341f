"""Watch streams: the states of a decision, the changes of approvals, cursors, and the hub that feeds them."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from placet.approvals.model import ApprovalState
from placet.audit.records import Commitment, RecordKind
from placet.kernel.errors import (
    LedgerUnavailableError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    WatcherTooSlowError,
)
from placet.kernel.limits import PERMIT_TTL_SECONDS, WATCH_QUEUE_MAX, WATCHERS_NOTIFIED_TOGETHER
from placet.kernel.model import Effect, Finding
from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub, subject_events
from placet.watch.state import DecisionState
from tests.support.approval_env import DAY_US, LEAD, ONE_LEAD, OTHER_LEAD, ApprovalEnv, vote_command
from tests.support.fakes import FullLedger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from placet.kernel.state import Cursor, Event
    from placet.watch.feeds import ApprovalChange, DecisionChange

SECONDS_MAX = 20.0
ALLOW = Finding(Effect.ALLOW, "pay.ok", "Fine")


class CountingLedger(FullLedger):
    """A ledger that counts reads of events, and fails them while `unreadable`."""

    reads = 0
    unreadable = False

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        self.reads += 1
        if self.unreadable:
            raise LedgerUnavailableError("not now")
        return await super().events(after, limit)


class WatchEnv(ApprovalEnv):
    """An approval environment with the feeds of its decisions and approvals."""

    def __init__(self, finding: Finding = ONE_LEAD) -> None:
        super().__init__(finding, ledger=CountingLedger)
        self.failed = asyncio.Event()
        self.hub = Hub(self.ledger, lambda _: self.failed.set())
        self.feeds = ChangeFeeds(self.ledger, self.hub, self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the hub in the background; fail after SECONDS_MAX."""
        task = asyncio.create_task(self.hub.run())
        try:
            async with asyncio.timeout(SECONDS_MAX):
                yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def decision(self, decision_id: str, cursor: Cursor | None = None) -> AsyncGenerator[DecisionChange]:
        return self.feeds.decision("acme", decision_id, cursor or {})

    async def states(self, decision_id: str, cursor: Cursor | None = None) -> list[DecisionState]:
        """Return all states of the decision after the cursor."""
        return [change.state async for change in self.decision(decision_id, cursor)]


async def skip_snapshot(changes: AsyncGenerator[ApprovalChange]) -> ApprovalChange:
    """Skip the snapshot of pending approvals; return the change that ends it."""
    async for change in changes:
        if change.approval is None:
            return change
    raise AssertionError("the feed ended")


async def test_a_decision_feed_ends_when_the_approval_is_used() -> None:
    env = WatchEnv()
    async with env.running():
        decision = await env.ask()
        async with aclosing(env.decision(decision.decision_id)) as changes:
            first = await anext(changes)
            assert (first.state, first.at_us) == (DecisionState.PENDING, decision.decided_at_us)
            approval = await env.approvals.read("acme", first.approval_id)
            await env.approvals.approve(vote_command(approval))
            assert (await anext(changes)).state is DecisionState.APPROVED
            await env.ask(approval_id=approval.approval_id)
            assert [change.state async for change in changes] == [DecisionState.USED]
    assert env.hub.subscription_count == 0
    assert await env.states(decision.decision_id) == [
        DecisionState.PENDING,
        DecisionState.APPROVED,
        DecisionState.USED,
    ]


async def test_a_use_that_is_read_before_the_vote_is_sent_after_it() -> None:
    """Two replicas commit one after another, and a third reads each chain separately."""
    env = WatchEnv()
    decision = await env.ask()
    async with aclosing(env.decision(decision.decision_id)) as changes:
        approval_id = (await anext(changes)).approval_id
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await env.approvals.approve(vote_command(await env.approvals.read("acme", approval_id)))
        await env.ask(approval_id=approval_id)
        (*_, use) = await subject_events(env.ledger, await env.ledger.events_of("acme", approval_id))
        [subscription] = env.hub._subscriptions["acme", approval_id]
        subscription.offer([use])
        received = [await waiting, *[change async for change in changes]]
    assert [change.state for change in received] == [DecisionState.APPROVED, DecisionState.USED]


async def test_a_rejection_has_the_reason_of_the_vote() -> None:
    env = WatchEnv()
    approval = await env.pending_approval()
    await env.approvals.reject(vote_command(approval, reason="too much"))
    changes = [change async for change in env.decision(approval.decision_id)]
    assert [(change.state, change.reason) for change in changes][1:] == [(DecisionState.REJECTED, "too much")]


@pytest.mark.parametrize("end", [DecisionState.CANCELLED, DecisionState.EXPIRED])
async def test_cancellation_and_expiry_end_the_feed(end: DecisionState) -> None:
    env = WatchEnv()
    approval = await env.pending_approval()
    if end is DecisionState.CANCELLED:
        await env.approvals.cancel(vote_command(approval))
    else:
        env.clock.wall += DAY_US
        await env.approvals.expire_due()
    assert await env.states(approval.decision_id) == [DecisionState.PENDING, end]


async def test_a_vote_below_the_quorum_is_no_change() -> None:
    env = WatchEnv(Finding(Effect.REQUIRE_APPROVAL, "p.q", "Q", {"quorum": 2, "approver_roles": ["lead"]}))
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    await env.approvals.approve(vote_command(approval, OTHER_LEAD))
    await env.approvals.cancel(vote_command(approval))
    states = await env.states(approval.decision_id)
    assert states == [DecisionState.PENDING, DecisionState.APPROVED, DecisionState.CANCELLED]


async def test_resuming_from_any_cursor_yields_each_later_change_once() -> None:
    env = WatchEnv()
    approval = await env.pending_approval()
    await env.approvals.approve(vote_command(approval))
    await env.ask(approval_id=approval.approval_id)
    changes = [change async for change in env.decision(approval.decision_id)]
    for index, change in enumerate(changes):
        rest = await env.states(approval.decision_id, change.cursor)
        assert rest == [later.state for later in changes[index + 1 :]]


async def test_a_revoked_permit_is_sent_at_once() -> None:
    env = WatchEnv(ALLOW)
    async with env.running():
        decision = await env.ask()
        async with aclosing(env.decision(decision.decision_id)) as changes:
            assert (await anext(changes)).state is DecisionState.ALLOWED
            fields = {"decision_id": decision.decision_id, "rule_id": "kill_switch.tool"}
            now_us = env.clock.wall_us()
            revoked = Commitment(RecordKind.PERMIT_REVOKED, "acme", now_us, fields, subject=decision.decision_id)
            await env.ledger.commit([revoked])
            rest = [(change.state, change.reason) async for change in changes]
            assert rest == [(DecisionState.REVOKED, "A kill switch stops this tool")]


async def test_an_allow_ends_when_its_permit_expires() -> None:
    env = WatchEnv(ALLOW)
    decision = await env.ask()
    env.clock.wall += PERMIT_TTL_SECONDS * 1_000_000
    assert await env.states(decision.decision_id) == [DecisionState.ALLOWED, DecisionState.ENDED]


async def test_a_deny_ends_at_once() -> None:
    env = WatchEnv(Finding(Effect.DENY, "pay.never", "Never"))
    assert await env.states((await env.ask()).decision_id) == [DecisionState.ENDED]


async def test_a_decision_of_another_tenant_is_not_found() -> None:
    env = WatchEnv()
    decision = await env.ask()
    with pytest.raises(NotFoundError):
        await anext(env.feeds.decision("open", decision.decision_id, {}))


async def test_an_approval_feed_begins_with_the_pending_approvals() -> None:
    env = WatchEnv()
    before = await env.pending_approval()
    async with env.running(), aclosing(env.feeds.approvals("acme", None)) as changes:
        first = await anext(changes)
        assert first.approval == before
        assert (await anext(changes)).approval is None
        after = await env.pending_approval(run__run_id="after")
        seen = (await anext(changes)).approval
        assert seen is not None
        assert seen.approval_id == after.approval_id
        await env.approvals.approve(vote_command(before))
        seen = (await anext(changes)).approval
        assert seen is not None
        assert (seen.approval_id, seen.state) == (before.approval_id, ApprovalState.APPROVED)


async def test_a_feed_interrupted_during_its_snapshot_repeats_it_and_misses_nothing() -> None:
    env = WatchEnv()
    pending = {(await env.pending_approval(run__run_id=f"r{number}")).approval_id for number in range(3)}
    async with aclosing(env.feeds.approvals("acme", None)) as changes:
        cursor = (await anext(changes)).cursor
    between = await env.pending_approval()
    await env.approvals.reject(vote_command(between, reason="no"))
    async with aclosing(env.feeds.approvals("acme", cursor)) as changes:
        again = [await anext(changes) for _ in range(3)]
        assert {change.approval.approval_id for change in again if change.approval is not None} == pending
        assert (await anext(changes)).approval is None
        changed = (await anext(changes)).approval
        assert changed is not None
        assert (changed.approval_id, changed.state) == (between.approval_id, ApprovalState.REJECTED)


async def test_changes_without_a_stream_are_sent_to_the_next_one() -> None:
    env = WatchEnv()
    async with env.running():
        async with aclosing(env.feeds.approvals("acme", None)) as changes:
            cursor = (await skip_snapshot(changes)).cursor
        opened = [await env.pending_approval(run__run_id=f"r{number}") for number in range(3)]
        await env.approvals.reject(vote_command(opened[0], reason="no"))
        async with aclosing(env.feeds.approvals("acme", cursor)) as changes:
            received = [await anext(changes) for _ in range(4)]
            ids = [change.approval.approval_id for change in received if change.approval is not None]
            assert ids == [approval.approval_id for approval in (*opened, opened[0])]
        async with aclosing(env.feeds.approvals("acme", received[1].cursor)) as changes:
            again = [await anext(changes) for _ in range(2)]
            assert [change.cursor for change in again] == [change.cursor for change in received[2:]]


async def test_approvals_of_another_tenant_are_not_sent() -> None:
    env = WatchEnv()
    async with env.running(), aclosing(env.feeds.approvals("open", {})) as changes:
        await env.pending_approval()
        mine = await env.ask(identity__tenant="open")
        change = await anext(changes)
        assert change.approval is not None
        assert change.approval.decision_id == mine.decision_id


async def test_a_thousand_streams_cost_as_many_reads_as_one() -> None:
    env = WatchEnv()
    assert isinstance(env.ledger, CountingLedger)
    approval = await env.pending_approval()
    async with env.running():
        feeds = [env.decision(approval.decision_id) for _ in range(1_000)]
        assert {(await anext(feed)).state for feed in feeds} == {DecisionState.PENDING}
        waiting = [asyncio.ensure_future(anext(feed)) for feed in feeds]
        await asyncio.sleep(0)
        env.ledger.reads = 0
        await env.approvals.approve(vote_command(approval))
        assert {(await change).state for change in waiting} == {DecisionState.APPROVED}
        assert env.ledger.reads < 10
        for feed in feeds:
            await feed.aclose()
    assert env.hub._cursor is None


async def test_a_subscription_that_is_not_read_is_closed() -> None:
    env = WatchEnv()
    subscription = await env.hub.subscribe([("acme", "")])
    for _ in range(WATCH_QUEUE_MAX + 1):
        await env.ask()
    await env.hub._publish_new()
    with pytest.raises(WatcherTooSlowError):
        await subscription.next()


async def test_subscriptions_beyond_the_limit_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.watch.hub.WATCHERS_MAX", 1)
    env = WatchEnv()
    subscription = await env.hub.subscribe([("acme", "")])
    with pytest.raises(OverloadedError):
        await env.hub.subscribe([("acme", "")])
    env.hub.unsubscribe(subscription)
    await env.hub.subscribe([("acme", "")])


async def test_subscriptions_end_when_the_server_stops() -> None:
    env = WatchEnv()
    subscription = await env.hub.subscribe([("acme", "")])
    waiting = asyncio.ensure_future(subscription.next())
    await asyncio.sleep(0)
    env.hub.close()
    with pytest.raises(UnavailableError):
        await waiting
    with pytest.raises(UnavailableError):
        await env.hub.subscribe([("acme", "")])


async def test_no_change_is_lost_while_the_ledger_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.watch.hub.WATCH_POLL_SECONDS", 0.01)
    env = WatchEnv()
    assert isinstance(env.ledger, CountingLedger)
    approval = await env.pending_approval()
    async with env.running():
        changes = env.decision(approval.decision_id)
        await anext(changes)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        env.ledger.unreadable = True
        await env.approvals.approve(vote_command(approval, LEAD))
        await env.failed.wait()
        env.ledger.unreadable = False
        assert (await waiting).state is DecisionState.APPROVED
        await changes.aclose()


async def test_subscribers_are_notified_in_groups_and_other_tasks_run_between() -> None:
    env = WatchEnv()
    subscriptions = [await env.hub.subscribe([("acme", "")]) for _ in range(3 * WATCHERS_NOTIFIED_TOGETHER + 1)]
    notified: set[int] = set()

    async def read(number: int) -> None:
        assert [event.event.tenant for event in await subscriptions[number].next()] == ["acme"]
        notified.add(number)

    reading = [asyncio.create_task(read(number)) for number in range(len(subscriptions))]
    async with env.running():
        await env.ask()
        seen = 0
        while seen < len(subscriptions):
            await asyncio.sleep(0)
            assert len(notified) - seen <= WATCHERS_NOTIFIED_TOGETHER
            seen = len(notified)
        await asyncio.gather(*reading)


async def test_a_subscription_that_is_not_read_does_not_delay_others() -> None:
    env = WatchEnv()
    unread, read = [await env.hub.subscribe([("acme", "")]) for _ in range(2)]
    async with env.running():
        for _ in range(WATCH_QUEUE_MAX + 1):
            await env.ask()
            assert await read.next()
    with pytest.raises(WatcherTooSlowError):
        await unread.next()


async def test_more_events_at_once_than_a_queue_holds_reach_a_subscription_that_is_read() -> None:
    env = WatchEnv()
    subscription = await env.hub.subscribe([("acme", "")])
    for _ in range(WATCH_QUEUE_MAX + 10):
        await env.ask()
    received = 0
    async with env.running():
        while received < WATCH_QUEUE_MAX + 10:
            received += len(await subscription.next())
    assert received == WATCH_QUEUE_MAX + 10
