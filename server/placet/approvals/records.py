"""Builds the commitments that record changes of approvals. Persons and reasons are in a part of each record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import structs

from placet.approvals.model import to_row
from placet.audit.access_records import caller_fields
from placet.audit.records import Commitment, RecordKind
from placet.kernel.state import PutIfVersion
from placet.notifications.delivery import new_delivery
from placet.notifications.payload import WebhookEvent, WebhookType
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.approvals.model import Approval
    from placet.kernel.model import Caller
    from placet.matching.person import Person

VOTE: Final = "vote"
"""The part of a vote: person, role, roles, reason."""
ACTOR: Final = "actor"
"""The part of a cancellation: person, reason."""
VOID: Final = "void"
"""The part of voided votes: the voter, the person who voided them, reason."""
REFUSAL: Final = "refusal"
"""The part of a vote or cancellation that was refused: person, roles, text."""


def voted_commitment(after: Approval, caller: Caller, now_us: int, *, notify: bool) -> Commitment:
    """Record a vote: the last one of `after`. With `notify` a webhook is queued if the vote decided the approval."""
    vote = after.votes[-1]
    fields = {
        **_approval_fields(after, caller),
        "approve": vote.approve,
        "votes": len(after.votes),
        "quorum": after.quorum,
    }
    part = {"person": vote.person, "role": vote.role, "roles": vote.roles, "reason": vote.reason}
    return _commitment(RecordKind.APPROVAL_VOTED, after, now_us, fields, {VOTE: orjson.dumps(part)}, notify=notify)


def cancelled_commitment(after: Approval, person: Person, caller: Caller, now_us: int, *, notify: bool) -> Commitment:
    """Record that a person cancelled the approval."""
    fields = _approval_fields(after, caller)
    parts = {ACTOR: orjson.dumps({"person": person.id, "reason": after.end_reason})}
    return _commitment(RecordKind.APPROVAL_CANCELLED, after, now_us, fields, parts, notify=notify)


def votes_voided_commitment(
    after: Approval,
    person: str,
    actor: Person,
    reason: str,
    caller: Caller,
    now_us: int,
    *,
    reopened: bool,
    notify: bool,
) -> Commitment:
    """Record that `actor` voided the votes of `person`.

    `reopened` says whether too few votes are left, so that the approval is pending again. Only then `notify` queues a
    webhook.
    """
    fields = {**_approval_fields(after, caller), "reopened": reopened, "quorum": after.quorum}
    part = {"person": person, "actor": actor.id, "reason": redact_text(reason)}
    commitment = _commitment(
        RecordKind.APPROVAL_VOTES_VOIDED, after, now_us, fields, {VOID: orjson.dumps(part)}, notify=False
    )
    deliveries = (new_webhook(after, WebhookType.REOPENED, now_us),) if reopened and notify else ()
    return structs.replace(commitment, changes=(*commitment.changes, *deliveries))


def approval_expired_commitment(after: Approval, now_us: int, *, notify: bool) -> Commitment:
    """Record that the approval expired before it was decided or used."""
    fields = {**_approval_fields(after, None), "expires_at_us": after.expires_at_us}
    return _commitment(RecordKind.APPROVAL_EXPIRED, after, now_us, fields, {}, notify=notify)


def vote_refused_commitment(
    tenant: str, approval_id: str, method: str, person: Person, caller: Caller, refusal: str, text: str, now_us: int
) -> Commitment:
    """Record a refused vote or cancellation, which changed nothing. `refusal` is the stable id of the reason.

    `approval_id` is "" when the tenant has no approval with the requested id.
    """
    fields = {"approval_id": approval_id, "method": method, "refusal": refusal, **caller_fields(caller)}
    part = {"person": person.id, "roles": person.roles, "text": redact_text(text)}
    return Commitment(RecordKind.APPROVAL_REFUSED, tenant, now_us, fields, {REFUSAL: orjson.dumps(part)})


def new_webhook(approval: Approval, event_type: WebhookType, now_us: int) -> PutIfVersion:
    """Return the change that queues a webhook about the approval."""
    event = WebhookEvent(
        type=event_type,
        time_us=now_us,
        tenant=approval.tenant,
        approval_id=approval.approval_id,
        decision_id=approval.decision_id,
        tool=approval.action["tool"],
        agent=approval.identity["agent"],
        user=approval.identity["user"],
        state=approval.state.value,
        quorum=approval.quorum,
        expires_at_us=approval.expires_at_us,
        rule_id=approval.rule_id,
        reopened=approval.reopened,
    )
    return PutIfVersion(new_delivery(event))


def _commitment(
    kind: RecordKind,
    after: Approval,
    now_us: int,
    fields: Mapping[str, Any],
    parts: Mapping[str, bytes],
    *,
    notify: bool,
) -> Commitment:
    """Return the record with the change that stores the approval. With `notify` every state but pending is sent."""
    changes = [PutIfVersion(to_row(after))]
    event_type = f"approval.{after.state}"
    if notify and event_type in set(WebhookType):
        changes.append(new_webhook(after, WebhookType(event_type), now_us))
    return Commitment(kind, after.tenant, now_us, fields, parts, subject=after.approval_id, changes=tuple(changes))


def _approval_fields(after: Approval, caller: Caller | None) -> dict[str, Any]:
    fields = {"approval_id": after.approval_id, "decision_id": after.decision_id, "state": after.state.value}
    return fields if caller is None else {**fields, **caller_fields(caller)}
