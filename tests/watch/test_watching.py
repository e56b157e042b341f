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
from placet.kernel.limits import PERMIT_TTL_SECONDS, WATCH_QUEUE_MAX, WATCHERS_TOLD_TOGETHER
from placet.kernel.model import Effect, Finding
from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub, subject_events
from placet.watch.state import DecisionState
from tests.support.approving import DAY_US, LEAD, ONE_LEAD, OTHER_LEAD, ApprovalEnv, word
from tests.support.fakes import FullLedger

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from placet.kernel.state import Cursor, Event
    from placet.watch.feeds import ApprovalChange, DecisionChange

SECONDS_MAX = 20.0
ALLOW = Finding(Effect.ALLOW, "pay.ok", "Fine")


class CountingLedger(FullLedger):
    """A ledger that counts how often somebody looks for what happened."""

    looks = 0
    deaf = False

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        self.looks += 1
        if self.deaf:
            raise LedgerUnavailableError("not now")
        return await super().events(after, limit)


class Watched(ApprovalEnv):
    """Approvals whose approvals and decisions are watched."""

    def __init__(self, finding: Finding = ONE_LEAD) -> None:
        super().__init__(finding, ledger=CountingLedger)
        self.faulted = asyncio.Event()
        self.hub = Hub(self.ledger, lambda _: self.faulted.set())
        self.following = ChangeFeeds(self.ledger, self.hub, self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """With the hub looking."""
        task = asyncio.create_task(self.hub.run())
        try:
            async with asyncio.timeout(SECONDS_MAX):
                yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def decision(self, decision_id: str, cursor: Cursor | None = None) -> AsyncGenerator[DecisionChange]:
        return self.following.decision("acme", decision_id, cursor or {})

    async def states(self, decision_id: str, cursor: Cursor | None = None) -> list[DecisionState]:
        """All that becomes of the decision."""
        return [change.state async for change in self.decision(decision_id, cursor)]


async def until_told(watching: AsyncGenerator[ApprovalChange]) -> ApprovalChange:
    """Past what is pending; the change that says so."""
    async for change in watching:
        if change.approval is None:
            return change
    raise AssertionError("it never ends")


async def test_a_decision_is_followed_until_its_approval_is_used() -> None:
    env = Watched()
    async with env.running():
        decision = await env.ask()
        async with aclosing(env.decision(decision.decision_id)) as changes:
            first = await anext(changes)
            assert (first.state, first.at_us) == (DecisionState.PENDING, decision.decided_at_us)
            approval = await env.approvals.read("acme", first.approval_id)
            await env.approvals.approve(word(approval))
            assert (await anext(changes)).state is DecisionState.APPROVED
            await env.ask(approval_id=approval.approval_id)
            assert [change.state async for change in changes] == [DecisionState.USED]
    assert env.hub._count == 0
    assert await env.states(decision.decision_id) == [
        DecisionState.PENDING,
        DecisionState.APPROVED,
        DecisionState.USED,
    ]


async def test_a_use_that_is_seen_before_the_vote_is_told_after_it() -> None:
    """Two replicas commit one after another while a third reads of each on its own."""
    env = Watched()
    decision = await env.ask()
    async with aclosing(env.decision(decision.decision_id)) as changes:
        approval_id = (await anext(changes)).approval_id
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await env.approvals.approve(word(await env.approvals.read("acme", approval_id)))
        await env.ask(approval_id=approval_id)
        (*_, use) = await subject_events(env.ledger, await env.ledger.events_of("acme", approval_id))
        [watcher] = env.hub._watchers["acme", approval_id]
        watcher.give([use])
        told = [await waiting, *[change async for change in changes]]
    assert [change.state for change in told] == [DecisionState.APPROVED, DecisionState.USED]


async def test_why_a_person_said_no_is_told() -> None:
    env = Watched()
    approval = await env.asked()
    await env.approvals.reject(word(approval, reason="too much"))
    changes = [change async for change in env.decision(approval.decision_id)]
    assert [(change.state, change.reason) for change in changes][1:] == [(DecisionState.REJECTED, "too much")]


@pytest.mark.parametrize("end", [DecisionState.CANCELLED, DecisionState.EXPIRED])
async def test_withdrawal_and_expiry_end_it(end: DecisionState) -> None:
    env = Watched()
    approval = await env.asked()
    if end is DecisionState.CANCELLED:
        await env.approvals.cancel(word(approval))
    else:
        env.clock.wall += DAY_US
        await env.approvals.expire_due()
    assert await env.states(approval.decision_id) == [DecisionState.PENDING, end]


async def test_a_vote_that_decides_nothing_yet_is_no_change() -> None:
    env = Watched(Finding(Effect.REQUIRE_APPROVAL, "p.q", "Q", {"quorum": 2, "approver_roles": ["lead"]}))
    approval = await env.asked()
    await env.approvals.approve(word(approval))
    await env.approvals.approve(word(approval, OTHER_LEAD))
    await env.approvals.cancel(word(approval))
    states = await env.states(approval.decision_id)
    assert states == [DecisionState.PENDING, DecisionState.APPROVED, DecisionState.CANCELLED]


async def test_resumed_with_any_of_its_cursors_nothing_is_missed_and_nothing_told_twice() -> None:
    env = Watched()
    approval = await env.asked()
    await env.approvals.approve(word(approval))
    await env.ask(approval_id=approval.approval_id)
    changes = [change async for change in env.decision(approval.decision_id)]
    for place, change in enumerate(changes):
        rest = await env.states(approval.decision_id, change.cursor)
        assert rest == [each.state for each in changes[place + 1 :]]


async def test_a_permit_that_is_revoked_is_told_at_once() -> None:
    env = Watched(ALLOW)
    async with env.running():
        decision = await env.ask()
        async with aclosing(env.decision(decision.decision_id)) as changes:
            assert (await anext(changes)).state is DecisionState.ALLOWED
            fields = {"decision_id": decision.decision_id, "rule_id": "kill_switch.tool"}
            now_us = env.clock.wall_us()
            revoked = Commitment(RecordKind.PERMIT_REVOKED, "acme", now_us, fields, subject=decision.decision_id)
            await env.ledger.commit([revoked])
            told = [(change.state, change.reason) async for change in changes]
            assert told == [(DecisionState.REVOKED, "A kill switch stops this tool")]


async def test_a_permit_runs_out() -> None:
    env = Watched(ALLOW)
    decision = await env.ask()
    env.clock.wall += PERMIT_TTL_SECONDS * 1_000_000
    assert await env.states(decision.decision_id) == [DecisionState.ALLOWED, DecisionState.ENDED]


async def test_of_a_deny_nothing_more_is_to_come() -> None:
    env = Watched(Finding(Effect.DENY, "pay.never", "Never"))
    assert await env.states((await env.ask()).decision_id) == [DecisionState.ENDED]


async def test_a_decision_of_another_tenant_is_not_found() -> None:
    env = Watched()
    decision = await env.ask()
    with pytest.raises(NotFoundError):
        await anext(env.following.decision("open", decision.decision_id, {}))


async def test_approvals_are_followed_from_those_that_are_pending() -> None:
    env = Watched()
    before = await env.asked()
    async with env.running(), aclosing(env.following.approvals("acme", None)) as changes:
        first = await anext(changes)
        assert first.approval == before
        assert (await anext(changes)).approval is None
        after = await env.asked(run__run_id="after")
        seen = (await anext(changes)).approval
        assert seen is not None
        assert seen.approval_id == after.approval_id
        await env.approvals.approve(word(before))
        seen = (await anext(changes)).approval
        assert seen is not None
        assert (seen.approval_id, seen.state) == (before.approval_id, ApprovalState.APPROVED)


async def test_a_watch_cut_off_while_it_tells_what_is_pending_misses_nothing() -> None:
    env = Watched()
    pending = {(await env.asked(run__run_id=f"r{each}")).approval_id for each in range(3)}
    async with aclosing(env.following.approvals("acme", None)) as changes:
        cursor = (await anext(changes)).cursor
    between = await env.asked()
    await env.approvals.reject(word(between, reason="no"))
    async with aclosing(env.following.approvals("acme", cursor)) as changes:
        again = [await anext(changes) for _ in range(3)]
        assert {each.approval.approval_id for each in again if each.approval is not None} == pending
        assert (await anext(changes)).approval is None
        told = (await anext(changes)).approval
        assert told is not None
        assert (told.approval_id, told.state) == (between.approval_id, ApprovalState.REJECTED)


async def test_what_happens_while_nobody_is_connected_is_told_afterwards() -> None:
    env = Watched()
    async with env.running():
        async with aclosing(env.following.approvals("acme", None)) as changes:
            cursor = (await until_told(changes)).cursor
        asked = [await env.asked(run__run_id=f"r{each}") for each in range(3)]
        await env.approvals.reject(word(asked[0], reason="no"))
        async with aclosing(env.following.approvals("acme", cursor)) as changes:
            told = [await anext(changes) for _ in range(4)]
            ids = [change.approval.approval_id for change in told if change.approval is not None]
            assert ids == [each.approval_id for each in (*asked, asked[0])]
        async with aclosing(env.following.approvals("acme", told[1].cursor)) as changes:
            again = [await anext(changes) for _ in range(2)]
            assert [change.cursor for change in again] == [change.cursor for change in told[2:]]


async def test_nothing_of_another_tenant_is_told() -> None:
    env = Watched()
    async with env.running(), aclosing(env.following.approvals("open", {})) as changes:
        await env.asked()
        mine = await env.ask(identity__tenant="open")
        change = await anext(changes)
        assert change.approval is not None
        assert change.approval.decision_id == mine.decision_id


async def test_a_thousand_watchers_cost_as_many_looks_as_one() -> None:
    env = Watched()
    assert isinstance(env.ledger, CountingLedger)
    approval = await env.asked()
    async with env.running():
        watching = [env.decision(approval.decision_id) for _ in range(1_000)]
        assert {(await anext(each)).state for each in watching} == {DecisionState.PENDING}
        waiting = [asyncio.ensure_future(anext(each)) for each in watching]
        await asyncio.sleep(0)
        env.ledger.looks = 0
        await env.approvals.approve(word(approval))
        assert {(await each).state for each in waiting} == {DecisionState.APPROVED}
        assert env.ledger.looks < 10
        for each in watching:
            await each.aclose()
    assert env.hub._cursor is None


async def test_a_watcher_that_does_not_read_is_sent_away() -> None:
    env = Watched()
    watcher = await env.hub.watch([("acme", "")])
    for _ in range(WATCH_QUEUE_MAX + 1):
        await env.ask()
    await env.hub._look()
    with pytest.raises(WatcherTooSlowError):
        await watcher.next()


async def test_more_watchers_than_a_server_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.watch.hub.WATCHERS_MAX", 1)
    env = Watched()
    watcher = await env.hub.watch([("acme", "")])
    with pytest.raises(OverloadedError):
        await env.hub.watch([("acme", "")])
    env.hub.leave(watcher)
    await env.hub.watch([("acme", "")])


async def test_streams_end_when_the_server_stops() -> None:
    env = Watched()
    watcher = await env.hub.watch([("acme", "")])
    waiting = asyncio.ensure_future(watcher.next())
    await asyncio.sleep(0)
    env.hub.close()
    with pytest.raises(UnavailableError):
        await waiting
    with pytest.raises(UnavailableError):
        await env.hub.watch([("acme", "")])


async def test_a_store_that_cannot_be_read_for_a_while_loses_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.watch.hub.WATCH_POLL_SECONDS", 0.01)
    env = Watched()
    assert isinstance(env.ledger, CountingLedger)
    approval = await env.asked()
    async with env.running():
        changes = env.decision(approval.decision_id)
        await anext(changes)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        env.ledger.deaf = True
        await env.approvals.approve(word(approval, LEAD))
        await env.faulted.wait()
        env.ledger.deaf = False
        assert (await waiting).state is DecisionState.APPROVED
        await changes.aclose()


async def test_a_few_watchers_are_told_at_a_time_and_others_run_in_between() -> None:
    env = Watched()
    watchers = [await env.hub.watch([("acme", "")]) for _ in range(3 * WATCHERS_TOLD_TOGETHER + 1)]
    told: set[int] = set()

    async def read(number: int) -> None:
        assert [each.event.tenant for each in await watchers[number].next()] == ["acme"]
        told.add(number)

    reading = [asyncio.create_task(read(number)) for number in range(len(watchers))]
    async with env.running():
        await env.ask()
        seen = 0
        while seen < len(watchers):
            await asyncio.sleep(0)
            assert len(told) - seen <= WATCHERS_TOLD_TOGETHER
            seen = len(told)
        await asyncio.gather(*reading)


async def test_one_who_does_not_read_holds_up_nobody() -> None:
    env = Watched()
    asleep, awake = [await env.hub.watch([("acme", "")]) for _ in range(2)]
    async with env.running():
        for _ in range(WATCH_QUEUE_MAX + 1):
            await env.ask()
            assert await awake.next()
    with pytest.raises(WatcherTooSlowError):
        await asleep.next()


async def test_more_at_once_than_a_watcher_may_be_behind_reaches_one_who_keeps_up() -> None:
    env = Watched()
    watcher = await env.hub.watch([("acme", "")])
    for _ in range(WATCH_QUEUE_MAX + 10):
        await env.ask()
    heard = 0
    async with env.running():
        while heard < WATCH_QUEUE_MAX + 10:
            heard += len(await watcher.next())
    assert heard == WATCH_QUEUE_MAX + 10
