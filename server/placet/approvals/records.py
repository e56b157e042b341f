"""What happens to approvals, as commitments. Who said what stands in a part of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.approvals.model import to_row
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
"""Part of a vote: person, role, reason."""
ACTOR: Final = "actor"
"""Part of a withdrawal: person, reason."""
VOID: Final = "void"
"""Part of votes that were voided: whose, by whom, reason."""
REFUSAL: Final = "refusal"
"""Part of a vote or withdrawal that was refused: person, roles, why."""


def voted_commitment(after: Approval, caller: Caller, now_us: int, *, notify: bool) -> Commitment:
    """Somebody voted: the last vote of `after`. `notify`: a webhook is told when that decided it."""
    vote = after.votes[-1]
    fields = {**_about(after, caller), "approve": vote.approve, "votes": len(after.votes), "quorum": after.quorum}
    part = {"person": vote.person, "role": vote.role, "roles": vote.roles, "reason": vote.reason}
    return _commitment(RecordKind.APPROVAL_VOTED, after, now_us, fields, {VOTE: orjson.dumps(part)}, notify=notify)


def cancelled_commitment(after: Approval, person: Person, caller: Caller, now_us: int, *, notify: bool) -> Commitment:
    """Somebody withdrew it."""
    parts = {ACTOR: orjson.dumps({"person": person.id, "reason": after.end_reason})}
    return _commitment(RecordKind.APPROVAL_CANCELLED, after, now_us, _about(after, caller), parts, notify=notify)


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
    """The votes of a person count no longer. `reopened`: those that are left are too few, so that it waits again."""
    fields = {**_about(after, caller), "reopened": reopened, "quorum": after.quorum}
    part = {"person": person, "actor": actor.id, "reason": redact_text(reason)}
    made = _commitment(
        RecordKind.APPROVAL_VOTES_VOIDED, after, now_us, fields, {VOID: orjson.dumps(part)}, notify=False
    )
    told = (notice(after, WebhookType.REOPENED, now_us),) if reopened and notify else ()
    return replace(made, changes=(*made.changes, *told))


def approval_expired_commitment(after: Approval, now_us: int, *, notify: bool) -> Commitment:
    """Nobody decided, or used it, in time."""
    fields = {**_about(after, None), "expires_at_us": after.expires_at_us}
    return _commitment(RecordKind.APPROVAL_EXPIRED, after, now_us, fields, {}, notify=notify)


def vote_rejected_commitment(
    tenant: str, approval_id: str, method: str, person: Person, caller: Caller, refusal: str, text: str, now_us: int
) -> Commitment:
    """A vote or withdrawal was refused and changed nothing. `refusal` is the stable id of why.

    `approval_id` is "" when the tenant has none of the id that was named.
    """
    fields = {"approval_id": approval_id, "method": method, "refusal": refusal, "caller": caller.name}
    part = {"person": person.id, "roles": person.roles, "text": redact_text(text)}
    return Commitment(RecordKind.APPROVAL_REFUSED, tenant, now_us, fields, {REFUSAL: orjson.dumps(part)})


def notice(approval: Approval, happened: WebhookType, now_us: int) -> PutIfVersion:
    """The change that has webhooks told what happened to the approval."""
    event = WebhookEvent(
        type=happened,
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
    """The record, with the approval as it is now; webhooks are told of any state but pending."""
    changes = [PutIfVersion(to_row(after))]
    happened = f"approval.{after.state}"
    if notify and happened in set(WebhookType):
        changes.append(notice(after, WebhookType(happened), now_us))
    return Commitment(kind, after.tenant, now_us, fields, parts, subject=after.approval_id, changes=tuple(changes))


def _about(after: Approval, caller: Caller | None) -> dict[str, Any]:
    said = {"approval_id": after.approval_id, "decision_id": after.decision_id, "state": after.state.value}
    return said if caller is None else {**said, "caller": caller.name}
