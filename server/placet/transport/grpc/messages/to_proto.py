"""Builds response messages from values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from placet.controls.autonomy.model import AutonomyLevel
from placet.kernel.model import Effect
from placet.kernel.nesting import nests_at_most
from placet.revisions.status import EngineMode
from placet.transport.grpc.messages.enums import enum_codec
from placet.v1 import audit_pb2, control_pb2, decision_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.audit.records import RecordedDecision, VerifyReport
    from placet.kernel.model import ApprovalRequirement, BudgetState, Decision, Finding
    from placet.revisions.status import PolicyStatus, ServerHealth, SlowPack

EFFECTS: Final = enum_codec(Effect, decision_pb2.Effect)
AUTONOMY: Final = enum_codec(AutonomyLevel, decision_pb2.Autonomy)
_AUTONOMY: Final[Mapping[str, Any]] = {"": decision_pb2.AUTONOMY_UNSPECIFIED, **dict(AUTONOMY.to_wire.items())}
ENGINE_MODES: Final = enum_codec(EngineMode, control_pb2.EngineMode)
DETAILS_DEPTH_MAX: Final = 32
"""Maximum levels of a finding's details, the same as of params. A level is three nested messages on the wire. Protobuf
parsers accept 100 of them, so deeper details would make the response, or a whole page of decisions, unreadable."""
TOO_DEEP: Final = {"omitted": "nested too deeply to be sent; the record holds it"}
"""Details that replace those that are too deep."""
PROBLEMS_MAX: Final = 100
"""Maximum problems in a response. The first ones explain the others."""


def decision_fields(decision: Decision, permit: str = "", approval_url: str = "") -> dict[str, Any]:
    """Return the fields of a Decision. A response is built from them; protobuf would copy a message.

    `permit` is the signed proof of an allow. `approval_url` is the page on which people approve the action.
    """
    fields = {
        "decision_id": decision.decision_id,
        "effect": EFFECTS.to_wire[decision.effect],
        "rule_id": decision.rule_id,
        "reason": decision.reason,
        "findings": [finding_fields(finding) for finding in decision.findings],
        "policy_revision": decision.policy_revision,
        "action_digest": decision.action_digest,
        "decided_at": _timestamp_fields(decision.decided_at_us),
        "permit": permit,
        "autonomy": _AUTONOMY[decision.autonomy],
        "used_approval_id": decision.used_approval_id,
    }
    if decision.budgets:
        fields["budgets"] = [budget_fields(state) for state in decision.budgets]
    if decision.obligations:
        fields["obligations"] = [{"id": item.id, "details": _struct(item.details)} for item in decision.obligations]
    if decision.approval is not None:
        fields["approval"] = _approval(decision.approval, approval_url)
    if decision.shadow_effect is not None:
        fields["shadow_effect"] = EFFECTS.to_wire[decision.shadow_effect]
    return fields


def budget_fields(state: BudgetState) -> dict[str, Any]:
    """Return the fields of a BudgetState. The decision is built from them; protobuf would copy a message."""
    return {
        "id": state.id,
        "unit": state.unit,
        "limit": state.limit,
        "remaining": state.remaining,
        "reserved": state.reserved,
        "resets_at": _resets_at(state.resets_at_us),
    }


@lru_cache(maxsize=1_024)
def _resets_at(time_us: int) -> Timestamp | None:
    """Return a cached timestamp: budgets share few windows. Protobuf copies a message that is put into another."""
    return optional_timestamp(time_us)


def _approval(requirement: ApprovalRequirement, url: str) -> decision_pb2.ApprovalRequirement:
    return decision_pb2.ApprovalRequirement(
        id=requirement.approval_id,
        expires_at=optional_timestamp(requirement.expires_at_us),
        quorum=requirement.quorum,
        approver_roles=requirement.approver_roles,
        distinct_roles=requirement.distinct_roles,
        url=url,
    )


def recorded_decision_to_proto(recorded: RecordedDecision, event_json: str) -> audit_pb2.RecordedDecision:
    """Return the message of a decision in the audit trail."""
    return audit_pb2.RecordedDecision(
        decision=decision_fields(recorded.decision),
        tenant=recorded.tenant,
        event_json=event_json,
        input_json=recorded.input_json.decode(),
        replayable=recorded.replayable,
        not_replayable_reason=recorded.not_replayable_reason,
        received_at=timestamp(recorded.decision.received_at_us),
        caller=recorded.caller,
        writer=recorded.writer,
        sequence=recorded.sequence,
        record_hash=recorded.record_hash,
        idempotency_key=recorded.idempotency_key,
        caller_method=recorded.caller_method,
        caller_issuer=recorded.caller_issuer,
        user_method=recorded.user_method,
        user_issuer=recorded.user_issuer,
    )


def verify_report_to_proto(report: VerifyReport) -> audit_pb2.VerifyAuditResponse:
    """Return the message of the result of a verification."""
    return audit_pb2.VerifyAuditResponse(
        ok=report.ok,
        records=report.records,
        chains=report.chains,
        checkpoints=report.checkpoints,
        problems=[
            audit_pb2.AuditProblem(
                kind=problem.kind, writer=problem.writer, sequence=problem.sequence, detail=problem.detail
            )
            for problem in report.problems[:PROBLEMS_MAX]
        ],
    )


def policy_status_to_proto(status: PolicyStatus, health: ServerHealth) -> control_pb2.GetPolicyStatusResponse:
    """Return the message of the policy status and the server's health."""
    return control_pb2.GetPolicyStatusResponse(
        ready=status.ready,
        policy_revision=status.revision,
        loaded_at=optional_timestamp(status.loaded_at_us),
        confirmed_at=optional_timestamp(status.confirmed_at_us),
        engine_mode=ENGINE_MODES.to_wire[status.engine_mode],
        engine_version=status.engine_version,
        engine_restarts=status.engine_restarts,
        tenants=status.tenants,
        reloads_accepted=status.reloads_accepted,
        reloads_refused=status.reloads_refused,
        last_error=status.last_error,
        last_error_at=optional_timestamp(status.last_error_at_us),
        serving=health.serving and not status.stale,
        not_serving_reasons=health.reasons,
        refused_since=optional_timestamp(status.refused_since_us),
        unseen_since=optional_timestamp(status.unseen_since_us),
        decides_until=optional_timestamp(status.decides_until_us),
        stale=status.stale,
        git_commit=status.git_commit,
        store_error=health.store_error,
        held_revision=status.held_revision,
        held_since=optional_timestamp(status.held_since_us),
        held_reasons=status.held_reasons,
        held_pushed_by=status.held_pusher.name,
        pushed_by=status.pusher.name,
        slow_packs=[_slow_pack_to_proto(pack) for pack in status.slow_packs],
        data_dir_free_bytes=health.data_dir_free_bytes,
        issuers_unreadable=health.issuers_unreadable,
    )


def _slow_pack_to_proto(pack: SlowPack) -> control_pb2.SlowPack:
    return control_pb2.SlowPack(
        pack=pack.pack,
        tool=pack.tool,
        tenant=pack.tenant,
        milliseconds=pack.seconds * 1e3,
        ended=pack.ended,
        input_bytes=pack.input_bytes,
    )


def finding_fields(finding: Finding) -> dict[str, Any]:
    """Return the fields of a Finding."""
    fields = {"effect": EFFECTS.to_wire[finding.effect], "rule_id": finding.rule_id, "reason": finding.reason}
    if finding.details:
        fields["details"] = _struct(finding.details)
    return fields


def _struct(value: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value if nests_at_most(value, DETAILS_DEPTH_MAX) else TOO_DEEP)
    return struct


def timestamp(time_us: int) -> Timestamp:
    """Return the message of a time in microseconds."""
    return Timestamp(**_timestamp_fields(time_us))


def _timestamp_fields(time_us: int) -> dict[str, int]:
    return {"seconds": time_us // 1_000_000, "nanos": time_us % 1_000_000 * 1_000}


def optional_timestamp(time_us: int) -> Timestamp | None:
    """Return the message of a time in microseconds; None for 0."""
    return timestamp(time_us) if time_us else None
