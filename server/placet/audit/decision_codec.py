"""Builds commitments of decisions and system events, and reads recorded decisions back.

The body of a record holds no personal data: only ids, digests and times. Data that may be personal is in its parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec.structs import asdict

from placet.audit.access_records import caller_fields, user_fields
from placet.audit.records import Commitment, Idempotency, Index, RecordedDecision, RecordKind
from placet.kernel.model import ApprovalRequirement, BudgetState, Decision, Effect, Finding, Obligation
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.kernel.errors import FieldViolation
    from placet.kernel.model import Caller, Proposal

INPUT: Final = "input"
"""Part of a decision: what policy saw, redacted."""
DECISION: Final = "decision"
"""Part of a decision: reason, findings, approval, obligations."""
REFUSAL: Final = "refusal"
"""Part of an invalid request: the fields that break the contract."""
PROBLEMS: Final = "problems"
"""Part of a refused policy: why it cannot be served."""
SYSTEM_TENANT: Final = ""
"""Tenant of records that belong to no tenant."""
_EFFECTS: Final = {effect: effect.value for effect in Effect}
"""Effect -> its id. An enum computes `value` by two calls in Python."""
DETAILS_MAX: Final = 100
"""Violations or problems that one record holds. The first ones show the cause."""


class RecordDamagedError(ValueError):
    """The stored bytes are not a record of a decision as Placet writes it."""


def decision_commitment(
    decision: Decision,
    proposal: Proposal,
    caller: Caller,
    input_json: bytes,
    replayable: bool,  # noqa: FBT001 - handed on as it is, never a literal
    reason: str,
    replaces: str = "",
    repeats: str = "",
) -> Commitment:
    """Return the commitment of a decision. It must be durable before the caller receives the decision.

    `input_json` is what policy saw, redacted. `replayable` is whether redaction left it unchanged, and `reason` says
    why it did not. From now on the idempotency key refers to this decision instead of the one that it `replaces`. If
    this decision is returned in place of the earlier decision `repeats`, the key continues to refer to that one.
    """
    replay = {"replayable": replayable, "not_replayable_reason": reason}
    fields = _decision_fields(decision, proposal, caller, replay, replaces, repeats)
    if replayable:
        names = {"run_id": proposal.run.run_id, "user": proposal.identity.user, "agent": proposal.identity.agent}
    else:  # redaction may have changed them: the columns never hold more than the stored input
        names = _actor_fields(orjson.loads(input_json))
    return Commitment(
        kind=RecordKind.DECISION_MADE,
        tenant=proposal.identity.tenant,
        recorded_at_us=decision.decided_at_us,
        fields=fields,
        parts={INPUT: input_json, DECISION: _decision_part(decision)},
        index=Index(effect=fields["effect"], rule_id=decision.rule_id, tool=proposal.action.tool, **names),
        decision=decision,
        idempotency=None
        if repeats
        else Idempotency(caller.name, proposal.idempotency_key, proposal.request_digest, replaces),
    )


def _decision_fields(
    decision: Decision, proposal: Proposal, caller: Caller, replay: dict[str, Any], replaces: str, repeats: str
) -> dict[str, Any]:
    fields = {
        "decision_id": decision.decision_id,
        "effect": _EFFECTS[decision.effect],
        "rule_id": decision.rule_id,
        "policy_revision": decision.policy_revision,
        "action_digest": decision.action_digest,
        "request_digest": proposal.request_digest,
        "received_at_us": decision.received_at_us,
        "decided_at_us": decision.decided_at_us,
        **caller_fields(caller),
        "idempotency_key": "" if repeats else proposal.idempotency_key,
        **replay,
        "tool": proposal.action.tool,
        **_approval_field(decision),
    }
    if replaces:
        fields["replaces"] = replaces
    if repeats:
        fields["repeats"] = repeats
    if proposal.user_proof is not None:
        fields |= user_fields(proposal.user_proof)
    return fields


def invalid_request_commitment(
    tenant: str, caller: Caller, method: str, violations: Sequence[FieldViolation], recorded_at_us: int
) -> Commitment:
    """Return the record of a rejected malformed request.

    `tenant` is empty when it could not be read; `method` is the RPC's name.
    """
    refusal = [
        {"field": redact_text(violation.field), "description": redact_text(violation.description)}
        for violation in violations[:DETAILS_MAX]
    ]
    return Commitment(
        kind=RecordKind.REQUEST_REFUSED,
        tenant=tenant,
        recorded_at_us=recorded_at_us,
        fields={**caller_fields(caller), "method": method, "violations": len(violations)},
        parts={REFUSAL: orjson.dumps({"violations": refusal})},
    )


def policy_activated_commitment(
    revision: str, engine_version: str, tenants: int, recorded_at_us: int, git_commit: str = "", pushed_by: str = ""
) -> Commitment:
    """Return the record that this policy revision decides from now on.

    `tenants` is how many tenants have an agent_policy in it. `git_commit` is the commit of the policy folder; empty
    when the folder is in no repository. `pushed_by` is who published it; empty when that is not known.
    """
    fields = {
        "policy_revision": revision,
        "engine_version": engine_version,
        "tenants": tenants,
        "git_commit": git_commit,
        **_pushed(pushed_by),
    }
    return _system(RecordKind.POLICY_ACTIVATED, fields, recorded_at_us)


def policy_refused_commitment(served_revision: str, problems: Sequence[str], recorded_at_us: int) -> Commitment:
    """Return the record that a newer policy cannot be served.

    `served_revision` continues to decide; empty when no policy is served.
    """
    part = orjson.dumps({"problems": [redact_text(problem) for problem in problems[:DETAILS_MAX]]})
    fields = {"policy_revision": served_revision, "problems": len(problems)}
    return _system(RecordKind.POLICY_REFUSED, fields, recorded_at_us, {PROBLEMS: part})


def policy_held_commitment(
    served_revision: str, held_revision: str, reasons: Sequence[str], recorded_at_us: int, pushed_by: str = ""
) -> Commitment:
    """Return the record that a newer policy waits for a person's confirmation. `reasons` say why.

    `served_revision` continues to decide. `pushed_by` is who published the newer one; empty when that is not known.
    """
    part = orjson.dumps({"problems": [redact_text(reason) for reason in reasons[:DETAILS_MAX]]})
    fields = {"policy_revision": served_revision, "held_revision": held_revision, "problems": len(reasons)}
    fields |= _pushed(pushed_by)
    return _system(RecordKind.POLICY_HELD, fields, recorded_at_us, {PROBLEMS: part})


def _pushed(pushed_by: str) -> dict[str, str]:
    return {"pushed_by": pushed_by} if pushed_by else {}


def server_started_commitment(version: str, audit_key_id: str, recorded_at_us: int) -> Commitment:
    """Return the record that a server of this version started its chain and signs checkpoints with this key."""
    return _system(RecordKind.SERVER_STARTED, {"version": version, "audit_key_id": audit_key_id}, recorded_at_us)


def server_stopped_commitment(version: str, reason: str, recorded_at_us: int) -> Commitment:
    """Return the record of an orderly shutdown. `reason` is an id such as ``SIGTERM``."""
    return _system(RecordKind.SERVER_STOPPED, {"version": version, "reason": reason}, recorded_at_us)


def keys_purged_commitment(before_us: int, keys: int, recorded_at_us: int) -> Commitment:
    """Return the record that `keys` idempotency keys of decisions made before `before_us` were deleted."""
    return _system(RecordKind.KEYS_SWEPT, {"before_us": before_us, "keys": keys}, recorded_at_us)


def recorded_decision(body: bytes, parts: Mapping[str, bytes], record_hash: bytes) -> RecordedDecision:
    """Return the decision of a record's body and parts. Raises RecordDamagedError when they do not hold one."""
    try:
        members = _decision_body(body)
        return RecordedDecision(
            decision=_decision(members, orjson.loads(parts[DECISION])),
            tenant=members["tenant"],
            input_json=parts[INPUT],
            replayable=members["replayable"],
            not_replayable_reason=members["not_replayable_reason"],
            caller=members["caller"],
            idempotency_key=members["idempotency_key"],
            writer=members["writer"],
            sequence=members["sequence"],
            record_hash=record_hash.hex(),
            caller_method=members.get("caller_method", ""),
            caller_issuer=members.get("caller_issuer", ""),
            user_method=members.get("user_method", ""),
            user_issuer=members.get("user_issuer", ""),
        )
    except RecordDamagedError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordDamagedError(f"the record cannot be read: {type(error).__name__}") from error


def index_of(body: Mapping[str, Any], parts: Mapping[str, bytes]) -> Index:
    """Return the index of a record's parsed body and its parts. Raises RecordDamagedError when they are damaged."""
    if body.get("kind") != RecordKind.DECISION_MADE:
        return Index()
    try:
        names = _actor_fields(orjson.loads(parts[INPUT]))
        return Index(effect=body["effect"], rule_id=body["rule_id"], tool=body["tool"], **names)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordDamagedError(f"the record cannot be read: {type(error).__name__}") from error


def _decision_body(body: bytes) -> dict[str, Any]:
    members: dict[str, Any] = orjson.loads(body)
    if members["kind"] != RecordKind.DECISION_MADE:
        raise RecordDamagedError(f"a record of kind {members['kind']!a} is no decision")
    return members


def _system(
    kind: RecordKind, fields: Mapping[str, Any], recorded_at_us: int, parts: Mapping[str, bytes] | None = None
) -> Commitment:
    return Commitment(kind, SYSTEM_TENANT, recorded_at_us, fields, parts or {})


def _actor_fields(policy_input: Mapping[str, Any]) -> dict[str, str]:
    """Return the index fields that name the actors."""
    identity = policy_input["identity"]
    return {"run_id": policy_input["run"]["run_id"], "user": identity["user"], "agent": identity["agent"]}


def _approval_field(decision: Decision) -> dict[str, str]:
    """Return the id of the approval that the decision requires, or consumed."""
    if decision.approval is not None and decision.approval.approval_id:
        return {"approval_id": decision.approval.approval_id}
    return {"used_approval_id": decision.used_approval_id} if decision.used_approval_id else {}


def _decision_part(decision: Decision) -> bytes:
    approval = decision.approval
    return orjson.dumps(
        {
            "reason": decision.reason,
            "findings": [
                {
                    "effect": _EFFECTS[finding.effect],
                    "rule_id": finding.rule_id,
                    "reason": finding.reason,
                    "details": finding.details,
                }
                for finding in decision.findings
            ],
            "approval": {
                "id": approval.approval_id,
                "expires_at_us": approval.expires_at_us,
                "quorum": approval.quorum,
                "approver_roles": approval.approver_roles,
                "distinct_roles": approval.distinct_roles,
            }
            if approval
            else None,
            "obligations": [{"id": item.id, "details": item.details} for item in decision.obligations]
            if decision.obligations
            else (),
            "budgets": [asdict(state) for state in decision.budgets] if decision.budgets else (),
            "autonomy": decision.autonomy,
            "shadow_effect": decision.shadow_effect,
        }
    )


def _decision(body: Mapping[str, Any], part: Mapping[str, Any]) -> Decision:
    approval = part["approval"]
    return Decision(
        decision_id=body["decision_id"],
        effect=Effect(body["effect"]),
        rule_id=body["rule_id"],
        reason=part["reason"],
        findings=tuple(
            Finding(Effect(item["effect"]), item["rule_id"], item["reason"], item["details"])
            for item in part["findings"]
        ),
        policy_revision=body["policy_revision"],
        action_digest=body["action_digest"],
        received_at_us=body["received_at_us"],
        decided_at_us=body["decided_at_us"],
        approval=_approval(approval) if approval else None,
        obligations=tuple(Obligation(item["id"], item["details"]) for item in part["obligations"]),
        budgets=tuple(BudgetState(**item) for item in part.get("budgets", ())),
        autonomy=part.get("autonomy", ""),
        shadow_effect=Effect(part["shadow_effect"]) if part.get("shadow_effect") else None,
        used_approval_id=body.get("used_approval_id", ""),
    )


def _approval(body: Mapping[str, Any]) -> ApprovalRequirement:
    """Return the stored requirement. Records from before approvals existed hold only quorum and roles."""
    return ApprovalRequirement(
        body["quorum"],
        tuple(body["approver_roles"]),
        body.get("id", ""),
        body.get("expires_at_us", 0),
        distinct_roles=body.get("distinct_roles", False),
    )
