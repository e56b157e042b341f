"""The change feeds behind WatchDecision and WatchApprovals: first what happened since a cursor, then live changes.

Each change has the cursor after it. Delivery is at least once: resuming from the last cursor never skips a change but
may repeat one.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.approvals.model import ApprovalState, from_row, is_approval_id
from placet.audit.records import RecordKind
from placet.commands.row_pages import rows_of
from placet.kernel.errors import NotFoundError
from placet.kernel.limits import PERMIT_TTL_SECONDS, WATCH_EVENTS_MAX
from placet.kernel.state import StateTable
from placet.watch.hub import subject_events
from placet.watch.state import FINAL_STATES, DecisionState, initial_state, reason_of, state_after

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.audit.records import RecordedDecision
    from placet.kernel.clock import Clock
    from placet.kernel.state import Cursor, Event
    from placet.watch.hub import Hub, SubjectEvent, Subscription, Topic

SNAPSHOT_INCOMPLETE: Final = ""
"""A key in the cursors of a snapshot: not all pending approvals were sent yet, so resuming sends them again.

It cannot collide with a writer, because writers have names.
"""
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """A new state of a decision."""

    cursor: Cursor
    state: DecisionState
    approval_id: str  # "" when the decision has no approval
    reason: str  # for people
    at_us: int


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """A change of an approval."""

    cursor: Cursor
    approval: Approval | None  # its state when it was read; None marks the end of the snapshot of pending approvals


class _Position:
    """The position of one stream in all chains. It filters events that were sent already."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = dict(cursor)

    @property
    def cursor(self) -> Cursor:
        """Return the cursor at this position."""
        return dict(self._cursor)

    def advance(self, writer: str, sequence: int) -> bool:
        """Advance to the record. Returns whether the record is new: whether it was beyond the position."""
        if sequence <= self._cursor.get(writer, 0):
            return False
        self._cursor[writer] = sequence
        return True


@dataclass(frozen=True, slots=True)
class ChangeFeeds:
    """The change feeds of a server.

    All methods raise LedgerUnavailableError, and the errors of `Hub.subscribe` and `Subscription.next`.
    """

    ledger: Ledger
    hub: Hub
    clock: Clock

    async def decision(
        self,
        tenant: str,
        decision_id: str,
        cursor: Cursor,
        may_watch: Callable[[RecordedDecision], bool] = lambda _: True,
    ) -> AsyncGenerator[DecisionChange]:
        """Yield the changes of a decision after the cursor, until it reaches a final state.

        Raises NotFoundError when the tenant has no such decision, or the caller may not follow it.
        """
        recorded = await self.ledger.get_decision(tenant, decision_id)
        if recorded is None or not may_watch(recorded):
            raise NotFoundError(f"tenant {tenant} has no decision {decision_id!r}; see `placet audit decisions`")
        decision = recorded.decision
        approval_id = decision.approval.approval_id if decision.approval is not None else ""
        position, state, ends_at_us = _Position(cursor), initial_state(decision), _ends_at_us(recorded)
        subjects = [subject for subject in (decision_id, approval_id) if subject]
        async with self._subscribed([(tenant, subject) for subject in subjects]) as subscription:
            if position.advance(recorded.writer, recorded.sequence):
                yield DecisionChange(position.cursor, state, approval_id, decision.reason, decision.decided_at_us)
            events = await self._history(tenant, subjects)
            while state not in FINAL_STATES:
                for event in sorted(events, key=_progress):
                    is_new = position.advance(event.event.writer, event.event.sequence)
                    next_state = state_after(event.event)
                    state = next_state or state
                    if is_new and next_state is not None:
                        reason = reason_of(event.event, event.approval)
                        yield DecisionChange(position.cursor, next_state, approval_id, reason, _time_us(event.event))
                events = await self._next(subscription, ends_at_us) if state not in FINAL_STATES else []
                if state is DecisionState.PENDING and any(state_after(event.event) in FINAL_STATES for event in events):
                    # When two replicas write, the hub may read the use before the vote. The history has both by now.
                    events = await self._history(tenant, subjects)
                if not events and state not in FINAL_STATES:
                    state = DecisionState.ENDED
                    yield DecisionChange(position.cursor, state, approval_id, "", ends_at_us)

    async def approvals(self, tenant: str, cursor: Cursor | None) -> AsyncGenerator[ApprovalChange]:
        """Yield the changes of a tenant's approvals after the cursor. Never ends by itself.

        Without a cursor, yield a snapshot first: all pending approvals, then a change without an approval. A stream
        that was interrupted during the snapshot resumes with a new snapshot, followed by the changes since the first.
        """
        if cursor is None or SNAPSHOT_INCOMPLETE in cursor:
            heads = await self.ledger.chain_heads() if cursor is None else _without_mark(cursor)
            async for row in rows_of(self.ledger, StateTable.APPROVALS, tenant, ApprovalState.PENDING):
                yield ApprovalChange({**heads, SNAPSHOT_INCOMPLETE: 0}, from_row(row))
            yield ApprovalChange(heads, None)
            cursor = heads
        position = _Position(cursor)
        async for change in self._changes_since(tenant, position):
            yield change
        async with self._subscribed([(tenant, "")]) as subscription:
            async for change in self._changes_since(tenant, position):  # from before the subscription began
                yield change
            while True:
                for event in await subscription.next():
                    if _is_new(event, position):
                        yield ApprovalChange(position.cursor, event.approval)

    async def _history(self, tenant: str, subjects: Sequence[str]) -> Sequence[SubjectEvent]:
        """Return all events of the subjects.

        One read returns all events of one subject, so an event never comes without those that led to it.
        """
        events = [event for subject in subjects for event in await self.ledger.events_of(tenant, subject)]
        return await subject_events(self.ledger, events)

    async def _changes_since(self, tenant: str, position: _Position) -> AsyncIterator[ApprovalChange]:
        """Yield the changes of a tenant's approvals that are recorded after the position."""
        while events := await self.ledger.events(position.cursor, WATCH_EVENTS_MAX):
            of_tenant = [event for event in events if event.tenant == tenant]
            with_approvals = {
                (found.event.writer, found.event.sequence): found
                for found in await subject_events(self.ledger, of_tenant)
            }
            for event in events:
                subject_event = with_approvals.get((event.writer, event.sequence))
                if subject_event is None:
                    position.advance(event.writer, event.sequence)
                elif _is_new(subject_event, position):
                    yield ApprovalChange(position.cursor, subject_event.approval)

    async def _next(self, subscription: Subscription, ends_at_us: int) -> Sequence[SubjectEvent]:
        """Return the next events; () when there are none before `ends_at_us` (0: wait without limit)."""
        while ends_at_us:
            left_us = ends_at_us - self.clock.wall_us()
            if left_us <= 0:
                return ()
            if events := await subscription.next(left_us / _SECOND_US):
                return events
        return await subscription.next()

    @contextlib.asynccontextmanager
    async def _subscribed(self, topics: Sequence[Topic]) -> AsyncIterator[Subscription]:
        subscription = await self.hub.subscribe(topics)
        try:
            yield subscription
        finally:
            self.hub.unsubscribe(subscription)


def _without_mark(cursor: Cursor) -> Cursor:
    return {writer: sequence for writer, sequence in cursor.items() if writer != SNAPSHOT_INCOMPLETE}


def _progress(event: SubjectEvent) -> tuple[int, str, int]:
    """Return a sort key that puts final states last, because the clocks of several writers may disagree."""
    state = state_after(event.event)
    rank = 0 if state is None else 2 if state in FINAL_STATES else 1
    return rank, event.event.writer, event.event.sequence


def _is_new(event: SubjectEvent, position: _Position) -> bool:
    """Advance to the event. Returns whether it is a change of an approval that was not sent yet.

    A later decision that requires the same pending approval is recorded as its event, too, but does not change it.
    """
    record, approval = event.event, event.approval
    beyond = position.advance(record.writer, record.sequence)
    if not beyond or not is_approval_id(record.subject) or approval is None:
        return False
    required_by = record.body.get("approval_id") == record.subject and record.kind == RecordKind.DECISION_MADE
    return not required_by or record.body.get("decision_id") == approval.decision_id


def _time_us(event: Event) -> int:
    return int(str(event.body["recorded_at_us"]))


def _ends_at_us(recorded: RecordedDecision) -> int:
    """Return when the permit of an allow expires; 0 for other decisions, whose end is no matter of time."""
    allowed = initial_state(recorded.decision) is DecisionState.ALLOWED
    return recorded.decision.decided_at_us + PERMIT_TTL_SECONDS * _SECOND_US if allowed else 0
