"""What becomes of one decision, and of a tenant's approvals: all that happened since a cursor, then what happens.

Each change comes with the cursor after it. Who asks again with the last cursor misses nothing, and may be told
something twice.
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
from placet.watch.state import ENDS, DecisionState, reason_of, state_after, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.audit.records import RecordedDecision
    from placet.kernel.clock import Clock
    from placet.kernel.state import Cursor, Event
    from placet.watch.hub import Hub, SubjectEvent, Subscription, Topic

SNAPSHOT_INCOMPLETE: Final = ""
"""In a cursor, where no writer is called so: not all that is pending was told, so that begins anew."""
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """What a decision came to at `at_us`. `reason` is for people."""

    cursor: Cursor
    state: DecisionState
    approval_id: str
    reason: str
    at_us: int


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """An approval that changed, as it stands now.

    `approval` None: nothing changed, all that is pending was told.
    """

    cursor: Cursor
    approval: Approval | None


class _Position:
    """How far one watcher was told: no event twice, none left out."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = dict(cursor)

    @property
    def cursor(self) -> Cursor:
        """The cursor of this place."""
        return dict(self._cursor)

    def passes(self, writer: str, sequence: int) -> bool:
        """Whether the record is beyond; from now on it is not."""
        if sequence <= self._cursor.get(writer, 0):
            return False
        self._cursor[writer] = sequence
        return True


@dataclass(frozen=True, slots=True)
class ChangeFeeds:
    """Follows. Raises LedgerUnavailableError, and what `Hub.watch` and `Subscription.next` raise."""

    ledger: Ledger
    hub: Hub
    clock: Clock

    async def decision(self, tenant: str, decision_id: str, cursor: Cursor) -> AsyncGenerator[DecisionChange]:
        """The decision's changes beyond the cursor, until nothing more can happen. NotFoundError."""
        recorded = await self.ledger.get_decision(tenant, decision_id)
        if recorded is None:
            raise NotFoundError("the tenant has no decision of that id; see `placet audit decisions`")
        made = recorded.decision
        approval_id = made.approval.approval_id if made.approval is not None else ""
        place, state, ends_at_us = _Position(cursor), state_of(made), _ends_at_us(recorded)
        subjects = [each for each in (decision_id, approval_id) if each]
        async with self._watching([(tenant, each) for each in subjects]) as watcher:
            if place.passes(recorded.writer, recorded.sequence):
                yield DecisionChange(place.cursor, state, approval_id, made.reason, made.decided_at_us)
            happened = await self._past(tenant, subjects)
            while state not in ENDS:
                for each in sorted(happened, key=_by_progress):
                    fresh, moved = place.passes(each.event.writer, each.event.sequence), state_after(each.event)
                    state = moved or state
                    if fresh and moved is not None:
                        reason = reason_of(each.event, each.approval)
                        yield DecisionChange(place.cursor, moved, approval_id, reason, _time_us(each.event))
                happened = await self._next(watcher, ends_at_us) if state not in ENDS else []
                if state is DecisionState.PENDING and any(state_after(each.event) in ENDS for each in happened):
                    # Of two replicas the hub may see the use before the vote; whoever reads it all now sees both.
                    happened = await self._past(tenant, subjects)
                if not happened and state not in ENDS:
                    state = DecisionState.ENDED
                    yield DecisionChange(place.cursor, state, approval_id, "", ends_at_us)

    async def approvals(self, tenant: str, cursor: Cursor | None) -> AsyncGenerator[ApprovalChange]:
        """The tenant's approvals that changed beyond the cursor; without one those that are pending, then all changes.

        Who was cut off before all that are pending were told is told them again, and what changed since the first time.
        It never ends by itself.
        """
        if cursor is None or SNAPSHOT_INCOMPLETE in cursor:
            heads = (
                await self.ledger.chain_heads() if cursor is None else {each: cursor[each] for each in cursor if each}
            )
            async for row in rows_of(self.ledger, StateTable.APPROVALS, tenant, ApprovalState.PENDING):
                yield ApprovalChange({**heads, SNAPSHOT_INCOMPLETE: 0}, from_row(row))
            yield ApprovalChange(heads, None)
            cursor = heads
        place = _Position(cursor)
        async for change in self._since(tenant, place):
            yield change
        async with self._watching([(tenant, "")]) as watcher:
            async for change in self._since(tenant, place):  # what happened before the watcher was there
                yield change
            while True:
                for each in await watcher.next():
                    if _is_new(each, place):
                        yield ApprovalChange(place.cursor, each.approval)

    async def _past(self, tenant: str, subjects: Sequence[str]) -> Sequence[SubjectEvent]:
        """All that happened to them. One subject is read at one moment: what led to something comes with it."""
        past = [event for each in subjects for event in await self.ledger.events_of(tenant, each)]
        return await subject_events(self.ledger, past)

    async def _since(self, tenant: str, place: _Position) -> AsyncIterator[ApprovalChange]:
        """What happened beyond the place until now."""
        while events := await self.ledger.events(place.cursor, WATCH_EVENTS_MAX):
            about = [each for each in events if each.tenant == tenant]
            told = {(each.event.writer, each.event.sequence): each for each in await subject_events(self.ledger, about)}
            for event in events:
                happening = told.get((event.writer, event.sequence))
                if happening is None:
                    place.passes(event.writer, event.sequence)
                elif _is_new(happening, place):
                    yield ApprovalChange(place.cursor, happening.approval)

    async def _next(self, watcher: Subscription, ends_at_us: int) -> Sequence[SubjectEvent]:
        """What happens next; nothing when it is over before that. `ends_at_us` 0 is never."""
        while ends_at_us:
            left_us = ends_at_us - self.clock.wall_us()
            if left_us <= 0:
                return ()
            if happened := await watcher.next(left_us / _SECOND_US):
                return happened
        return await watcher.next()

    @contextlib.asynccontextmanager
    async def _watching(self, topics: Sequence[Topic]) -> AsyncIterator[Subscription]:
        watcher = await self.hub.watch(topics)
        try:
            yield watcher
        finally:
            self.hub.leave(watcher)


def _by_progress(happening: SubjectEvent) -> tuple[int, str, int]:
    """What leads to the end comes before it, whatever the clocks of several writers say."""
    event = happening.event
    state = state_after(event)
    rank = 0 if state is None else 2 if state in ENDS else 1
    return rank, event.writer, event.sequence


def _is_new(happening: SubjectEvent, place: _Position) -> bool:
    event, approval = happening.event, happening.approval
    fresh = place.passes(event.writer, event.sequence)
    if not fresh or not is_approval_id(event.subject) or approval is None:
        return False
    asked_again = event.body.get("approval_id") == event.subject and event.kind == RecordKind.DECISION_MADE
    return not asked_again or event.body.get("decision_id") == approval.decision_id


def _time_us(event: Event) -> int:
    return int(str(event.body["recorded_at_us"]))


def _ends_at_us(recorded: RecordedDecision) -> int:
    """When nothing more can happen; 0 where no clock says."""
    allowed = state_of(recorded.decision) is DecisionState.ALLOWED
    return recorded.decision.decided_at_us + PERMIT_TTL_SECONDS * _SECOND_US if allowed else 0
