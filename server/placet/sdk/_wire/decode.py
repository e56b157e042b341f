"""Answers into values. An answer that is not exactly what the contract promises is a failure, so a deny."""

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
    """The decision of an AuthorizeResponse; a deny with its `failure` when it holds none that is acceptable."""
    try:
        response = authorization_pb2.AuthorizeResponse.FromString(raw)
    except DecodeError:
        return denied(_invalid("is no AuthorizeResponse"), idempotency_key)
    return accept(response.decision if response.HasField("decision") else None, idempotency_key)


def decode_authorize_batch(raw: bytes, idempotency_keys: Sequence[str]) -> list[Decision]:
    """One decision for each key, in order. All are denies when their number is not that of the keys."""
    try:
        decisions = list(authorization_pb2.AuthorizeBatchResponse.FromString(raw).decisions)
    except DecodeError:
        return [denied(_invalid("is no AuthorizeBatchResponse"), key) for key in idempotency_keys]
    if len(decisions) != len(idempotency_keys):
        failure = _invalid(f"has {len(decisions)} decisions for {len(idempotency_keys)} requests")
        return [denied(failure, key) for key in idempotency_keys]
    return [accept(decision, key) for decision, key in zip(decisions, idempotency_keys, strict=True)]


def accept(message: decision_pb2.Decision | None, idempotency_key: str) -> Decision:
    """The decision, or the deny that stands for one that is not acceptable."""
    if message is None:
        return denied(_invalid("holds no decision"), idempotency_key)
    if message.effect not in EFFECTS:
        failure = Failure(failures.EFFECT_UNKNOWN, f"effect {message.effect}")
        return denied(failure, idempotency_key, message.decision_id)
    fault = _fault(message)
    if fault:
        return denied(_invalid(fault), idempotency_key, message.decision_id)
    try:
        return decision_from_proto(message, idempotency_key)
    except (ValueError, RecursionError):
        return denied(_invalid("has details that are no JSON"), idempotency_key, message.decision_id)


def _fault(message: decision_pb2.Decision) -> str:
    """What the contract promises and this decision lacks; empty when nothing."""
    effect = EFFECTS[message.effect]
    if not message.decision_id or not message.rule_id:
        return "has no decision_id or no rule_id"
    if effect is Effect.ALLOW and not message.policy_revision:
        return "allows, under no policy"
    if effect is Effect.ALLOW and any(
        EFFECTS.get(each.effect, Effect.DENY) is Effect.DENY for each in message.findings
    ):
        return "allows, although a rule denied"
    if effect is Effect.REQUIRE_APPROVAL and message.approval.quorum < 1:
        return "requires approval, by nobody"
    return ""


def _invalid(what: str) -> Failure:
    return Failure(failures.ANSWER_INVALID, f"it {what}")


def decision_from_proto(message: decision_pb2.Decision, idempotency_key: str) -> Decision:
    """The decision as it was told, unchecked but for effects: one that is unknown reads as deny."""
    approval = message.approval
    return Decision(
        effect=EFFECTS.get(message.effect, Effect.DENY),
        rule_id=message.rule_id,
        reason=message.reason,
        decision_id=message.decision_id,
        idempotency_key=idempotency_key,
        findings=tuple(
            Finding(EFFECTS.get(each.effect, Effect.DENY), each.rule_id, each.reason, struct_from_proto(each.details))
            for each in message.findings
        ),
        policy_revision=message.policy_revision,
        approval=ApprovalRequirement(
            quorum=approval.quorum,
            approver_roles=tuple(approval.approver_roles),
            id=approval.id,
            expires_at=time_from_proto(approval.expires_at),
            url=approval.url,
        )
        if message.HasField("approval")
        else None,
        obligations=tuple(Obligation(each.id, struct_from_proto(each.details)) for each in message.obligations),
        permit=message.permit,
        budgets=tuple(
            BudgetState(each.id, each.remaining, time_from_proto(each.resets_at), each.unit) for each in message.budgets
        ),
        autonomy=AUTONOMIES.get(message.autonomy, Autonomy.UNSPECIFIED),
        shadow_effect=EFFECTS.get(message.shadow_effect),
        action_digest=message.action_digest,
        decided_at=time_from_proto(message.decided_at),
    )


def struct_from_proto(struct: Struct) -> dict[str, Any]:
    """A Struct as JSON values; whole numbers as int, as they were before they became doubles."""
    plain: dict[str, Any] = _whole(MessageToDict(struct))
    return plain


def _whole(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def time_from_proto(stamp: Timestamp) -> datetime | None:
    """A time in UTC; None when it is not set or cannot be said."""
    if not stamp.seconds and not stamp.nanos:
        return None
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None
