"""What happened, as commitments; and recorded decisions, read back from what is stored.

The body of a record holds nothing personal: ids, digests, times. What may be personal stands in its parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

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
"""Part of a refused request: which fields broke the contract."""
PROBLEMS: Final = "problems"
"""Part of a refused policy: why it cannot be served."""
SYSTEM_TENANT: Final = ""
"""Tenant of records that belong to no tenant."""
DETAILS_MAX: Final = 100
"""Violations or problems kept of one event; the first ones tell what happened."""


class RecordDamagedError(ValueError):
    """What is stored is not a record of a decision as Placet writes it."""


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
    """What must be durable before the decision is told.

    `input_json` is what policy saw, redacted; `replayable` says whether it is exactly that, `reason` why it is not. The
    idempotency key stands for this decision from now on, in place of the one that it `replaces`; where this one is told
    instead of one that it `repeats`, the key goes on standing for that.
    """
    fields = {
        "decision_id": decision.decision_id,
        "effect": decision.effect.value,
        "rule_id": decision.rule_id,
        "policy_revision": decision.policy_revision,
        "action_digest": decision.action_digest,
        "request_digest": proposal.request_digest,
        "received_at_us": decision.received_at_us,
        "decided_at_us": decision.decided_at_us,
        "caller": caller.name,
        "idempotency_key": "" if repeats else proposal.idempotency_key,
        "replayable": replayable,
        "not_replayable_reason": reason,
        "tool": proposal.action.tool,
        **_linked(decision),
        **{name: value for name, value in (("replaces", replaces), ("repeats", repeats)) if value},
    }
    if replayable:
        who = {"run_id": proposal.run.run_id, "user": proposal.identity.user, "agent": proposal.identity.agent}
    else:  # redaction may have touched them: the columns never say more than the stored input
        who = _who(orjson.loads(input_json))
    return Commitment(
        kind=RecordKind.DECISION_MADE,
        tenant=proposal.identity.tenant,
        recorded_at_us=decision.decided_at_us,
        fields=fields,
        parts={INPUT: input_json, DECISION: _decision_part(decision)},
        index=Index(effect=decision.effect.value, rule_id=decision.rule_id, tool=proposal.action.tool, **who),
        decision=decision,
        idempotency=None
        if repeats
        else Idempotency(caller.name, proposal.idempotency_key, proposal.request_digest, replaces),
    )


def invalid_request_commitment(
    tenant: str, caller: Caller, method: str, violations: Sequence[FieldViolation], recorded_at_us: int
) -> Commitment:
    """A malformed request was refused. `tenant` is "" when it could not be read; `method` is the RPC's name."""
    refusal = [
        {"field": redact_text(violation.field), "description": redact_text(violation.description)}
        for violation in violations[:DETAILS_MAX]
    ]
    return Commitment(
        kind=RecordKind.REQUEST_REFUSED,
        tenant=tenant,
        recorded_at_us=recorded_at_us,
        fields={"caller": caller.name, "method": method, "violations": len(violations)},
        parts={REFUSAL: orjson.dumps({"violations": refusal})},
    )


def policy_activated_commitment(
    revision: str, engine_version: str, tenants: int, recorded_at_us: int, git_commit: str = ""
) -> Commitment:
    """From now on this revision decides. `tenants` is how many have an agent_policy in it.

    `git_commit` is what the folder was checked out from, "" when it is in no repository.
    """
    fields = {
        "policy_revision": revision,
        "engine_version": engine_version,
        "tenants": tenants,
        "git_commit": git_commit,
    }
    return _system(RecordKind.POLICY_ACTIVATED, fields, recorded_at_us)


def policy_refused_commitment(served_revision: str, problems: Sequence[str], recorded_at_us: int) -> Commitment:
    """A newer policy cannot be served; `served_revision` goes on deciding ("" when there is none)."""
    part = orjson.dumps({"problems": [redact_text(problem) for problem in problems[:DETAILS_MAX]]})
    fields = {"policy_revision": served_revision, "problems": len(problems)}
    return _system(RecordKind.POLICY_REFUSED, fields, recorded_at_us, {PROBLEMS: part})


def policy_held_commitment(
    served_revision: str, held_revision: str, reasons: Sequence[str], recorded_at_us: int
) -> Commitment:
    """A newer policy waits for somebody to confirm it, for these reasons; `served_revision` goes on deciding."""
    part = orjson.dumps({"problems": [redact_text(reason) for reason in reasons[:DETAILS_MAX]]})
    fields = {"policy_revision": served_revision, "held_revision": held_revision, "problems": len(reasons)}
    return _system(RecordKind.POLICY_HELD, fields, recorded_at_us, {PROBLEMS: part})


def server_started_commitment(version: str, audit_key_id: str, recorded_at_us: int) -> Commitment:
    """The server of this version began to write this chain, signing checkpoints with this key."""
    return _system(RecordKind.SERVER_STARTED, {"version": version, "audit_key_id": audit_key_id}, recorded_at_us)


def server_stopped_commitment(version: str, reason: str, recorded_at_us: int) -> Commitment:
    """The server stopped in order. `reason` is an id such as ``SIGTERM``."""
    return _system(RecordKind.SERVER_STOPPED, {"version": version, "reason": reason}, recorded_at_us)


def keys_swept_commitment(before_us: int, keys: int, recorded_at_us: int) -> Commitment:
    """Idempotency keys of decisions made before then were forgotten: so many of them."""
    return _system(RecordKind.KEYS_SWEPT, {"before_us": before_us, "keys": keys}, recorded_at_us)


def recorded_decision(body: bytes, parts: Mapping[str, bytes], record_hash: bytes) -> RecordedDecision:
    """The decision that a record's body and parts tell of. RecordDamagedError when they do not."""
    try:
        said = _decision_body(body)
        return RecordedDecision(
            decision=_decision(said, orjson.loads(parts[DECISION])),
            tenant=said["tenant"],
            input_json=parts[INPUT],
            replayable=said["replayable"],
            not_replayable_reason=said["not_replayable_reason"],
            caller=said["caller"],
            idempotency_key=said["idempotency_key"],
            writer=said["writer"],
            sequence=said["sequence"],
            record_hash=record_hash.hex(),
        )
    except RecordDamagedError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordDamagedError(f"the record cannot be read: {type(error).__name__}") from error


def index_of(said: Mapping[str, Any], parts: Mapping[str, bytes]) -> Index:
    """The index that belongs to a record's parsed body and its parts. RecordDamagedError when they are not sound."""
    if said.get("kind") != RecordKind.DECISION_MADE:
        return Index()
    try:
        who = _who(orjson.loads(parts[INPUT]))
        return Index(effect=said["effect"], rule_id=said["rule_id"], tool=said["tool"], **who)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordDamagedError(f"the record cannot be read: {type(error).__name__}") from error


def _decision_body(body: bytes) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(body)
    if said["kind"] != RecordKind.DECISION_MADE:
        raise RecordDamagedError(f"a record of kind {said['kind']!a} is no decision")
    return said


def _system(
    kind: RecordKind, fields: Mapping[str, Any], recorded_at_us: int, parts: Mapping[str, bytes] | None = None
) -> Commitment:
    return Commitment(kind, SYSTEM_TENANT, recorded_at_us, fields, parts or {})


def _who(seen: Mapping[str, Any]) -> dict[str, str]:
    identity = seen["identity"]
    return {"run_id": seen["run"]["run_id"], "user": identity["user"], "agent": identity["agent"]}


def _linked(decision: Decision) -> dict[str, str]:
    """The approval that the decision asks for, or used."""
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
                    "effect": finding.effect.value,
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
            "obligations": [{"id": item.id, "details": item.details} for item in decision.obligations],
            "budgets": decision.budgets,
            "autonomy": decision.autonomy,
            "shadow_effect": decision.shadow_effect,
        }
    )


def _decision(said: Mapping[str, Any], part: Mapping[str, Any]) -> Decision:
    approval = part["approval"]
    return Decision(
        decision_id=said["decision_id"],
        effect=Effect(said["effect"]),
        rule_id=said["rule_id"],
        reason=part["reason"],
        findings=tuple(
            Finding(Effect(item["effect"]), item["rule_id"], item["reason"], item["details"])
            for item in part["findings"]
        ),
        policy_revision=said["policy_revision"],
        action_digest=said["action_digest"],
        received_at_us=said["received_at_us"],
        decided_at_us=said["decided_at_us"],
        approval=_approval(approval) if approval else None,
        obligations=tuple(Obligation(item["id"], item["details"]) for item in part["obligations"]),
        budgets=tuple(BudgetState(**item) for item in part.get("budgets", ())),
        autonomy=part.get("autonomy", ""),
        shadow_effect=Effect(part["shadow_effect"]) if part.get("shadow_effect") else None,
        used_approval_id=said.get("used_approval_id", ""),
    )


def _approval(said: Mapping[str, Any]) -> ApprovalRequirement:
    """Records of before there were approvals say quorum and roles alone."""
    return ApprovalRequirement(
        said["quorum"],
        tuple(said["approver_roles"]),
        said.get("id", ""),
        said.get("expires_at_us", 0),
        distinct_roles=said.get("distinct_roles", False),
    )
