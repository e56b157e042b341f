"""Approvals and changes of decisions from protobuf messages, and persons to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.sdk._wire.decode import budget_state_from_proto, finding_from_proto, time_from_proto
from placet.sdk._wire.fields import invalid, require_strings, require_type, set_fields
from placet.sdk.approvals import (
    Approval,
    ApprovalChange,
    ApprovalPage,
    ApprovalState,
    DecisionChange,
    DecisionState,
    Person,
    VoidedVotes,
    Vote,
)
from placet.sdk.decision import Decision
from placet.v1 import approval_pb2, authorization_pb2, person_pb2

if TYPE_CHECKING:
    from placet.v1.approval_pb2 import ApprovalState as StateNumber

_STATE_TO_PROTO: Final = {
    ApprovalState.PENDING: approval_pb2.APPROVAL_STATE_PENDING,
    ApprovalState.APPROVED: approval_pb2.APPROVAL_STATE_APPROVED,
    ApprovalState.REJECTED: approval_pb2.APPROVAL_STATE_REJECTED,
    ApprovalState.EXPIRED: approval_pb2.APPROVAL_STATE_EXPIRED,
    ApprovalState.CANCELLED: approval_pb2.APPROVAL_STATE_CANCELLED,
    ApprovalState.USED: approval_pb2.APPROVAL_STATE_USED,
}
_STATES: Final = {number: state for state, number in _STATE_TO_PROTO.items()}
_DECISION_STATES: Final = {
    authorization_pb2.DECISION_STATE_PENDING: DecisionState.PENDING,
    authorization_pb2.DECISION_STATE_APPROVED: DecisionState.APPROVED,
    authorization_pb2.DECISION_STATE_REJECTED: DecisionState.REJECTED,
    authorization_pb2.DECISION_STATE_EXPIRED: DecisionState.EXPIRED,
    authorization_pb2.DECISION_STATE_CANCELLED: DecisionState.CANCELLED,
    authorization_pb2.DECISION_STATE_USED: DecisionState.USED,
    authorization_pb2.DECISION_STATE_ALLOWED: DecisionState.ALLOWED,
    authorization_pb2.DECISION_STATE_REVOKED: DecisionState.REVOKED,
    authorization_pb2.DECISION_STATE_ENDED: DecisionState.ENDED,
}


def person_to_proto(field: str, person: Person | None) -> person_pb2.Person | None:
    """Return the message for the person in `field`, None for None. Raises InvalidRequestError."""
    if person is None:
        return None
    require_type(Person, field, person)
    message = person_pb2.Person(roles=require_strings(f"{field}.roles", person.roles))
    return set_fields(message, f"{field}.", id=person.id)


def approval_state_to_proto(state: ApprovalState | None) -> StateNumber:
    """Return the number of the state, UNSPECIFIED for None. Raises InvalidRequestError if it is no state to ask for."""
    if state is None:
        return approval_pb2.APPROVAL_STATE_UNSPECIFIED
    if state not in _STATE_TO_PROTO:
        raise invalid(("state", f"must be an ApprovalState, not {state!r}"))
    return _STATE_TO_PROTO[state]


def prepare_watch_decision(decision: Decision | str, tenant: str | None) -> authorization_pb2.WatchDecisionRequest:
    """Return the message that starts a watch. Raises InvalidRequestError if the decision has no id."""
    decision_id = decision.decision_id if isinstance(decision, Decision) else decision
    if tenant is None:
        tenant = decision.tenant if isinstance(decision, Decision) else ""
    if not decision_id:
        raise invalid(("decision_id", "is empty: the server recorded no such decision"))
    return set_fields(authorization_pb2.WatchDecisionRequest(), "", tenant=tenant, decision_id=decision_id)


def approval_page_from_proto(message: approval_pb2.ListApprovalsResponse) -> ApprovalPage:
    """Return the page."""
    return ApprovalPage(tuple(map(approval_from_proto, message.approvals)), message.next_page_token)


def voided_votes_from_proto(message: approval_pb2.VoidVotesResponse) -> VoidedVotes:
    """Return the result of voiding a person's votes."""
    return VoidedVotes(
        voided=tuple(map(approval_from_proto, message.voided)),
        used=tuple(map(approval_from_proto, message.used)),
        voided_count=message.voided_count,
        used_count=message.used_count,
        used_voided_count=message.used_voided_count,
        revoked=tuple(message.revoked_decision_ids),
        revoked_count=message.revoked_count,
        tenants_without_groups=tuple(message.tenants_without_groups),
    )


def approval_change_from_proto(message: approval_pb2.WatchApprovalsResponse) -> ApprovalChange | None:
    """Return the change, or None if the message only moves the cursor."""
    if not message.HasField("approval"):
        return None
    return ApprovalChange(message.cursor, approval_from_proto(message.approval))


def decision_change_from_proto(message: authorization_pb2.WatchDecisionResponse) -> DecisionChange:
    """Return the change."""
    state = _DECISION_STATES.get(message.state, DecisionState.ENDED)
    return DecisionChange(message.cursor, state, message.approval_id, message.reason, time_from_proto(message.at))


def approval_from_proto(message: approval_pb2.Approval) -> Approval:
    """Return the approval."""
    action, identity, money = message.action, message.identity, message.action.amount
    return Approval(
        id=message.id,
        tenant=message.tenant,
        decision_id=message.decision_id,
        state=_STATES.get(message.state, ApprovalState.UNKNOWN),
        tool=action.tool,
        params_json=action.params_json,
        params_redacted=message.params_redacted,
        amount=(money.minor_units, money.currency_code) if action.HasField("amount") else None,
        scope=action.scope,
        environment=action.environment,
        destination=action.destination,
        dry_run=action.dry_run,
        agent=identity.agent,
        user=identity.user,
        roles=tuple(identity.roles),
        delegation=tuple(identity.delegation),
        run_id=message.run.run_id,
        workflow=message.run.workflow,
        model=message.model.name,
        rule_id=message.rule_id,
        reason=message.reason,
        findings=tuple(map(finding_from_proto, message.findings)),
        policy_revision=message.policy_revision,
        action_digest=message.action_digest,
        quorum=message.quorum,
        approver_roles=tuple(message.approver_roles),
        distinct_roles=message.distinct_roles,
        votes=tuple(map(_vote, message.votes)),
        created_at=time_from_proto(message.created_at),
        expires_at=time_from_proto(message.expires_at),
        decided_at=time_from_proto(message.decided_at),
        used_by_decision_id=message.used_by_decision_id,
        budgets=tuple(map(budget_state_from_proto, message.budgets)),
        similar=_similar(message.similar) if message.HasField("similar") else None,
    )


def _vote(message: approval_pb2.Vote) -> Vote:
    return Vote(
        person=message.person,
        role=message.role,
        approve=message.approve,
        reason=message.reason,
        at=time_from_proto(message.at),
        void_reason=message.void_reason,
    )


def _similar(message: approval_pb2.SimilarDecisions) -> dict[str, int]:
    return {
        "allow": message.allowed,
        "deny": message.denied,
        "require_approval": message.approval_required,
    }
