"""The tool-call event that teams log, made from what the trail holds of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from placet.core.records import RecordedDecision


def tool_call_event(recorded: RecordedDecision) -> dict[str, Any]:
    """The event; `result` is None until the outcome is known.

    ``{"trace_id", "run_id", "user": {"id", "tenant"}, "model": {"name", "prompt_version", "input_tokens",
    "output_tokens"}, "tool": {"name", "scope", "dry_run"}, "policy": {"decision", "rule_id"}, "result"}``
    """
    said = orjson.loads(recorded.input_json)
    action, run, model = said["action"], said["run"], said["model"]
    return {
        "trace_id": run["trace_id"],
        "run_id": run["run_id"],
        "user": {"id": said["identity"]["user"], "tenant": recorded.tenant},
        "model": {key: model[key] for key in ("name", "prompt_version", "input_tokens", "output_tokens")},
        "tool": {"name": action["tool"], "scope": action["scope"], "dry_run": action["dry_run"]},
        "policy": {"decision": recorded.decision.effect.value, "rule_id": recorded.decision.rule_id},
        "result": None,
    }
