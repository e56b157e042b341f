"""The states that a decision has after it was returned to its caller, as watch streams report them.

::

    pending --> approved --> used
       |            '------> cancelled, expired
       '-------------------> rejected, cancelled, expired
    allowed ---------------> revoked, ended
    ended

Voided votes can move an approved decision back to pending.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from placet.audit.records import RecordKind
from placet.kernel import rule_ids
from placet.kernel.model import Effect

if TYPE_CHECKING:
    from placet.approvals.model import Approval
    from placet.kernel.model import Decision
    from placet.kernel.state import Event


class DecisionState(StrEnum):
    """The state of a decision in a watch stream."""

    PENDING = "pending"  # its approval waits for votes
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"  # an allow used the approval
    ALLOWED = "allowed"
    REVOKED = "revoked"  # the permit was revoked, for example by a kill switch
    ENDED = "ended"  # the permit expired; or there never was a permit or an approval, as for a deny


FINAL_STATES: Final = frozenset(DecisionState) - {DecisionState.PENDING, DecisionState.APPROVED, DecisionState.ALLOWED}
"""States that nothing can follow."""

_ENDED_BY: Final = {
    RecordKind.PERMIT_REVOKED: DecisionState.REVOKED,
    RecordKind.APPROVAL_CANCELLED: DecisionState.CANCELLED,
    RecordKind.APPROVAL_EXPIRED: DecisionState.EXPIRED,
}


def initial_state(decision: Decision) -> DecisionState:
    """Return the state of a decision when it is made."""
    if decision.effect is Effect.ALLOW:
        return DecisionState.ALLOWED
    has_approval = decision.approval is not None and bool(decision.approval.approval_id)
    return DecisionState.PENDING if has_approval else DecisionState.ENDED


def state_after(event: Event) -> DecisionState | None:
    """Return the state after an event of the decision or its approval; None when the event does not change it."""
    match event.kind:
        case RecordKind.PERMIT_REVOKED | RecordKind.APPROVAL_CANCELLED | RecordKind.APPROVAL_EXPIRED:
            return _ENDED_BY[RecordKind(event.kind)]
        case RecordKind.APPROVAL_VOTED:
            state = DecisionState(str(event.body["state"]))
            return None if state is DecisionState.PENDING else state
        case RecordKind.APPROVAL_VOTES_VOIDED if event.body.get("reopened"):
            return DecisionState.PENDING
        case RecordKind.DECISION_MADE if event.body.get("used_approval_id") == event.subject:
            return DecisionState.USED
        case _:
            return None


def reason_of(event: Event, approval: Approval | None) -> str:
    """Return why the event happened, for people: the reason of a vote or cancellation, or why a permit was revoked.

    "" for other events.
    """
    if event.kind == RecordKind.PERMIT_REVOKED:
        return rule_ids.CORE_REASONS.get(str(event.body.get("rule_id")), "")
    has_reason = event.kind in {RecordKind.APPROVAL_CANCELLED, RecordKind.APPROVAL_VOTED}
    return approval.end_reason if has_reason and approval is not None else ""
