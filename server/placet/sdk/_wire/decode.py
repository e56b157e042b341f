"""Decisions from protobuf messages. A response that breaks the API's contract is a failure, and so a deny."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk.decision import (
    ApprovalRequirement,
    Autonomy,
    BudgetState,
    Decision,
    Effect,
    Finding,
    Obligation,
    denied,
)
from placet.sdk.failures import Failure
from placet.v1 import authorization_pb2, decision_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.struct_pb2 import Struct
    from google.protobuf.timestamp_pb2 import Timestamp

EFFECTS: Final = {
    decision_pb2.EFFECT_ALLOW: Effect.ALLOW,
    decision_pb2.EFFECT_DENY: Effect.DENY,
    decision_pb2.EFFECT_REQUIRE_APPROVAL: Effect.REQUIRE_APPROVAL,
}
AUTONOMIES: Final = {
    decision_pb2.AUTONOMY_OBSERVE_ONLY: Autonomy.OBSERVE_ONLY,
    decision_pb2.AUTONOMY_DRAFT_ONLY: Autonomy.DRAFT_ONLY,
    decision_pb2.AUTONOMY_EXECUTE_WITH_APPROVAL: Autonomy.EXECUTE_WITH_APPROVAL,
    decision_pb2.AUTONOMY_EXECUTE: Autonomy.EXECUTE,
}


def decode_authorize(raw: bytes, idempotency_key: str) -> Decision:
    """Return the decision of an AuthorizeResponse, or a deny whose `failure` is set if it is not acceptable."""
    try:
        response = authorization_pb2.AuthorizeResponse.FromString(raw)
    except DecodeError:
        return denied(_invalid("is not a response of Authorize"), idempotency_key)
    return _accept(response.decision if response.HasField("decision") else None, idempotency_key)


def decode_streamed(message: decision_pb2.Decision, idempotency_key: str) -> Decision:
    """Return the decision that a stream answered, or a deny whose `failure` is set if it is not acceptable."""
    return _accept(message, idempotency_key)


def decode_authorize_batch(raw: bytes, idempotency_keys: Sequence[str]) -> list[Decision]:
    """Return one decision for each key, in order. All of them are denies if their number is wrong."""
    try:
        decisions = list(authorization_pb2.AuthorizeBatchResponse.FromString(raw).decisions)
    except DecodeError:
        return [denied(_invalid("is not a response of AuthorizeBatch"), key) for key in idempotency_keys]
    if len(decisions) != len(idempotency_keys):
        failure = _invalid(f"has {len(decisions)} decisions for {len(idempotency_keys)} requests")
        return [denied(failure, key) for key in idempotency_keys]
    return [_accept(decision, key) for decision, key in zip(decisions, idempotency_keys, strict=True)]


def _accept(message: decision_pb2.Decision | None, idempotency_key: str) -> Decision:
    """Return the decision, or a deny if it is not acceptable."""
    if message is None:
        return denied(_invalid("has no decision"), idempotency_key)
    if message.effect not in EFFECTS:
        failure = Failure(failures.EFFECT_UNKNOWN, f"effect {message.effect}")
        return denied(failure, idempotency_key, message.decision_id)
    violation = _contract_violation(message)
    if violation:
        return denied(_invalid(violation), idempotency_key, message.decision_id)
    try:
        return decision_from_proto(message, idempotency_key)
    except (ValueError, RecursionError):
        return denied(_invalid("has details that are not JSON"), idempotency_key, message.decision_id)


def _contract_violation(message: decision_pb2.Decision) -> str:
    """Return how the decision breaks the contract of the API. Empty if it does not."""
    effect = EFFECTS[message.effect]
    if not message.decision_id or not message.rule_id:
        return "has no decision_id or no rule_id"
    if effect is Effect.ALLOW and not message.policy_revision:
        return "allows without a policy_revision"
    if effect is Effect.ALLOW and any(
        EFFECTS.get(finding.effect, Effect.DENY) is Effect.DENY for finding in message.findings
    ):
        return "allows although a finding denies"
    if effect is Effect.REQUIRE_APPROVAL and message.approval.quorum < 1:
        return "requires approval without a quorum"
    return ""


def _invalid(description: str) -> Failure:
    return Failure(failures.ANSWER_INVALID, f"it {description}")


def decision_from_proto(message: decision_pb2.Decision, idempotency_key: str) -> Decision:
    """Return the decision without checking it, except that an unknown effect becomes deny."""
    return Decision(
        effect=EFFECTS.get(message.effect, Effect.DENY),
        rule_id=message.rule_id,
        reason=message.reason,
        decision_id=message.decision_id,
        idempotency_key=idempotency_key,
        findings=tuple(map(finding_from_proto, message.findings)),
        policy_revision=message.policy_revision,
        approval=_approval_requirement(message.approval) if message.HasField("approval") else None,
        obligations=tuple(
            Obligation(obligation.id, struct_from_proto(obligation.details)) for obligation in message.obligations
        ),
        permit=message.permit,
        budgets=tuple(map(budget_state_from_proto, message.budgets)),
        autonomy=AUTONOMIES.get(message.autonomy, Autonomy.UNSPECIFIED),
        shadow_effect=EFFECTS.get(message.shadow_effect),
        action_digest=message.action_digest,
        decided_at=time_from_proto(message.decided_at),
    )


def finding_from_proto(message: decision_pb2.Finding) -> Finding:
    """Return the finding. An unknown effect becomes deny."""
    effect = EFFECTS.get(message.effect, Effect.DENY)
    return Finding(effect, message.rule_id, message.reason, struct_from_proto(message.details))


def budget_state_from_proto(message: decision_pb2.BudgetState) -> BudgetState:
    """Return the state of the budget."""
    return BudgetState(message.id, message.remaining, time_from_proto(message.resets_at), message.unit)


def _approval_requirement(message: decision_pb2.ApprovalRequirement) -> ApprovalRequirement:
    return ApprovalRequirement(
        quorum=message.quorum,
        approver_roles=tuple(message.approver_roles),
        id=message.id,
        expires_at=time_from_proto(message.expires_at),
        url=message.url,
    )


def struct_from_proto(struct: Struct) -> dict[str, Any]:
    """Return the JSON object. Whole numbers become int, because a Struct holds every number as a double."""
    plain: dict[str, Any] = _with_integers(MessageToDict(struct))
    return plain


def _with_integers(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _with_integers(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_with_integers(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def time_from_proto(timestamp: Timestamp) -> datetime | None:
    """Return the time in UTC, or None if it is not set or out of range."""
    if not timestamp.seconds and not timestamp.nanos:
        return None
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None
