"""The `input` that policy sees: what the caller said, Placet's facts, and the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.core.model import Action, Amount, Evidence, Identity, Model, Run, ToolClass

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def document(action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]) -> bytes:
    """Canonical JSON of what the caller said. Keys and numbers are such that sorted orjson is RFC 8785."""
    said = {
        "action": action_document(action),
        "evidence": _evidence(evidence),
        "identity": identity_document(identity),
        "model": {
            "estimated_cost_micros": model.estimated_cost_micros,
            "input_tokens": model.input_tokens,
            "name": model.name,
            "output_tokens": model.output_tokens,
            "prompt_version": model.prompt_version,
        },
        "run": {
            "planner": run.planner,
            "run_id": run.run_id,
            "step": run.step,
            "trace_id": run.trace_id,
            "workflow": run.workflow,
        },
    }
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def request_content(
    action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]
) -> bytes:
    """Canonical JSON of what makes a request the same one; its digest is the request_digest.

    Left out is what a retry measures anew: trace_id and step, and what the model used by then.
    """
    said = {
        "action": action_document(action),
        "evidence": _evidence(evidence),
        "identity": identity_document(identity),
        "model": {"name": model.name, "prompt_version": model.prompt_version},
        "run": {"planner": run.planner, "run_id": run.run_id, "workflow": run.workflow},
    }
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def action_binding(action: Action, identity: Identity, run: Run) -> bytes:
    """Canonical JSON of what an approval and a permit are bound to; its digest is the action_digest."""
    bound = {"action": action_document(action), "identity": identity_document(identity), "run_id": run.run_id}
    return orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)


def action_document(action: Action) -> dict[str, Any]:
    """The action as policy sees it; `amount` is left out when there is none."""
    said = {
        "destination": action.destination,
        "dry_run": action.dry_run,
        "environment": action.environment,
        "params": orjson.Fragment(action.params),
        "scope": action.scope,
        "tool": action.tool,
        "tool_schema_version": action.tool_schema_version,
    }
    if action.amount is not None:
        said["amount"] = _amount(action.amount)
    return said


def identity_document(identity: Identity) -> dict[str, Any]:
    """The identity as policy sees it."""
    return {
        "agent": identity.agent,
        "delegation": list(identity.delegation),
        "roles": list(identity.roles),
        "tenant": identity.tenant,
        "user": identity.user,
    }


def policy_input(said: bytes, facts: Mapping[str, Any], now: str) -> bytes:
    """What policy sees: the caller's `document` with `facts` and `now` (see `rfc3339`) beside its keys."""
    known = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return b'{"facts":%b,"now":"%b",%b' % (known, now.encode(), said[1:])


def bare_facts(tool_class: ToolClass, autonomy: str = "execute") -> dict[str, Any]:
    """The facts that there always are, where nothing is counted."""
    return {"autonomy": autonomy, "budgets": {}, "tool": {"class": tool_class.value}}


def rfc3339(time_us: int) -> str:
    """RFC 3339 in UTC with six decimals, e.g. ``2026-04-24T18:33:01.123456Z``."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _evidence(evidence: tuple[Evidence, ...]) -> list[dict[str, str]]:
    return [{"sha256": item.sha256, "uri": item.uri} for item in evidence]


def _amount(amount: Amount) -> dict[str, Any]:
    return {"currency_code": amount.currency_code, "minor_units": amount.minor_units}
