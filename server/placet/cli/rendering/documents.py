"""Decisions as JSON documents and their findings as table rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from placet import sdk
from placet.sdk import failures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


FINDING_COLUMNS: Final = ("finding", "rule_id", "reason", "details")
OBLIGATION_COLUMNS: Final = ("obligation", "parameters")


def finding_rows(findings: Sequence[sdk.Finding]) -> list[tuple[str, ...]]:
    """Return a row for each finding, with its details as JSON on one line."""
    return [
        (finding.effect.value, finding.rule_id, finding.reason, _compact_json(dict(finding.details)))
        for finding in findings
    ]


def finding_documents(findings: Sequence[sdk.Finding]) -> list[dict[str, Any]]:
    """Return the findings as JSON documents."""
    return [
        {
            "effect": finding.effect.value,
            "rule_id": finding.rule_id,
            "reason": finding.reason,
            "details": dict(finding.details),
        }
        for finding in findings
    ]


def obligation_rows(obligations: Sequence[sdk.Obligation]) -> list[tuple[str, ...]]:
    """A row for each obligation; its parameters as JSON on one line, empty when there are none."""
    return [(each.id, _one_line(each.details)) for each in obligations]


def _one_line(details: Mapping[str, Any]) -> str:
    if not details:
        return ""
    return json.dumps(dict(details), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def decision_document(decision: sdk.Decision) -> dict[str, Any]:
    """Return a decision with all its fields. `failure` is None when the server decided."""
    return {
        "decision_id": decision.decision_id,
        "effect": decision.effect.value,
        "rule_id": decision.rule_id,
        "reason": decision.reason,
        "findings": finding_documents(decision.findings),
        "policy_revision": decision.policy_revision,
        "approval": _approval(decision.approval),
        "obligations": [{"id": each.id, "details": dict(each.details)} for each in decision.obligations],
        "permit": decision.permit,
        "budgets": [
            {"id": budget.id, "remaining": budget.remaining, "resets_at": time_text(budget.resets_at)}
            for budget in decision.budgets
        ],
        "autonomy": decision.autonomy.value,
        "shadow_effect": decision.shadow_effect.value if decision.shadow_effect else "",
        "action_digest": decision.action_digest,
        "decided_at": time_text(decision.decided_at),
        "idempotency_key": decision.idempotency_key,
        "failure": _failure(decision.failure),
    }


def recorded_document(recorded: sdk.RecordedDecision, *, with_input: bool) -> dict[str, Any]:
    """Return a recorded decision, with the tool-call event under `event`."""
    document = decision_document(recorded.decision)
    del document["failure"]
    document |= {
        "tenant": recorded.tenant,
        "event": json_of("event_json", recorded.event_json),
        "replayable": recorded.replayable,
        "not_replayable_reason": recorded.not_replayable_reason,
        "received_at": time_text(recorded.received_at),
        "caller": recorded.caller,
        "caller_method": recorded.caller_method,
        "caller_issuer": recorded.caller_issuer,
        "user_method": recorded.user_method,
        "user_issuer": recorded.user_issuer,
        "writer": recorded.writer,
        "sequence": recorded.sequence,
        "record_hash": recorded.record_hash,
    }
    if with_input:
        document["input"] = json_of("input_json", recorded.input_json)
    return document


def pending_document(request: sdk.ControlRequest | None) -> dict[str, Any] | None:
    """A change that needs a second person, as JSON. None when the change was made."""
    if request is None:
        return None
    return {
        "id": request.id,
        "requested_by": request.requested_by,
        "reason": request.reason,
        "expires_at": time_text(request.expires_at),
    }


def time_text(time: datetime | None) -> str:
    """Write a time as RFC 3339 in UTC with microseconds; empty for None."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time is not None else ""


def short_time_text(time: datetime | None) -> str:
    """Write a time for a table, in UTC with whole seconds; empty for None. A narrow table breaks it after the date."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ") if time is not None else ""


def _compact_json(details: dict[str, Any]) -> str:
    if not details:
        return ""
    return json.dumps(details, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _approval(approval: sdk.ApprovalRequirement | None) -> dict[str, Any] | None:
    if approval is None:
        return None
    return {
        "id": approval.id,
        "quorum": approval.quorum,
        "approver_roles": list(approval.approver_roles),
        "expires_at": time_text(approval.expires_at),
        "url": approval.url,
    }


def _failure(failure: sdk.Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "rule_id": failure.rule_id,
        "detail": failure.detail,
        "violations": [
            {"field": violation.field, "description": violation.description} for violation in failure.violations
        ],
    }


def json_of(field: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse the JSON in a field of an answer; None when it is empty. CallFailedError when it is not JSON."""
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        failure = sdk.Failure(failures.ANSWER_INVALID, f"its {field} is not JSON")
        raise sdk.CallFailedError(failure) from error
