"""The tool-call event for a team's own log, built from a recorded decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.actions.outcome import OutcomeStatus

if TYPE_CHECKING:
    from placet.actions.outcome import Outcome
    from placet.audit.records import RecordedDecision

_RESULTS: Final = {OutcomeStatus.SUCCEEDED: "ok", OutcomeStatus.FAILED: "error"}
"""Names in the event that differ from the status."""


def tool_call_event(recorded: RecordedDecision, outcome: Outcome | None = None) -> dict[str, Any]:
    """Return the event. Its `result` is ``{"status", "latency_ms"}``, or None until the outcome is known.

    ``{"trace_id", "run_id", "user": {"id", "tenant"}, "model": {"name", "prompt_version", "input_tokens",
    "output_tokens"}, "tool": {"name", "scope", "dry_run"}, "policy": {"decision", "rule_id"}, "result"}``

    Where callers are authenticated also ``"caller": {"id", "method", "issuer"}``, and the user has ``method`` and
    ``issuer``: how it is known.
    """
    body = orjson.loads(recorded.input_json)
    action, run, model = body["action"], body["run"], body["model"]
    event: dict[str, Any] = {
        "trace_id": run["trace_id"],
        "run_id": run["run_id"],
        "user": {"id": body["identity"]["user"], "tenant": recorded.tenant},
        "model": {key: model[key] for key in ("name", "prompt_version", "input_tokens", "output_tokens")},
        "tool": {"name": action["tool"], "scope": action["scope"], "dry_run": action["dry_run"]},
        "policy": {"decision": recorded.decision.effect.value, "rule_id": recorded.decision.rule_id},
        "result": _result(outcome) if outcome is not None else None,
    }
    if recorded.caller_method:
        event["user"] |= {"method": recorded.user_method, "issuer": recorded.user_issuer}
        event["caller"] = {
            "id": recorded.caller,
            "method": recorded.caller_method,
            "issuer": recorded.caller_issuer,
        }
    return event


def _result(outcome: Outcome) -> dict[str, Any]:
    return {"status": _RESULTS.get(outcome.status, outcome.status.value), "latency_ms": outcome.latency_ms}
