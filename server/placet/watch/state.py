"""What becomes of a decision after it was told, as whoever watches it sees it."""

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
    """What a decision came to."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    ALLOWED = "allowed"
    REVOKED = "revoked"
    ENDED = "ended"


ENDS: Final = frozenset(DecisionState) - {DecisionState.PENDING, DecisionState.APPROVED, DecisionState.ALLOWED}
"""States after which nothing more can happen."""


_ENDED_BY: Final = {
    RecordKind.PERMIT_REVOKED: DecisionState.REVOKED,
    RecordKind.APPROVAL_CANCELLED: DecisionState.CANCELLED,
    RecordKind.APPROVAL_EXPIRED: DecisionState.EXPIRED,
}


def state_of(decision: Decision) -> DecisionState:
    """What a decision is when it is made."""
    if decision.effect is Effect.ALLOW:
        return DecisionState.ALLOWED
    waits = decision.approval is not None and bool(decision.approval.approval_id)
    return DecisionState.PENDING if waits else DecisionState.ENDED


def state_after(event: Event) -> DecisionState | None:
    """What the decision is after something happened to it or its approval; None when that changed nothing."""
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
    """Why, for people: of a rejection, a withdrawal, or what revoked a permit."""
    if event.kind == RecordKind.PERMIT_REVOKED:
        return rule_ids.CORE_REASONS.get(str(event.body.get("rule_id")), "")
    ended = event.kind in {RecordKind.APPROVAL_CANCELLED, RecordKind.APPROVAL_VOTED}
    return approval.end_reason if ended and approval is not None else ""
