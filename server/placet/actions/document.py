"""A request as canonical documents: what policy sees of it, what makes it the same one, what approvals bind to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from placet.kernel.model import Action, Amount, Evidence, Identity, Model, Run


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


def _evidence(evidence: tuple[Evidence, ...]) -> list[dict[str, str]]:
    return [{"sha256": item.sha256, "uri": item.uri} for item in evidence]


def _amount(amount: Amount) -> dict[str, Any]:
    return {"currency_code": amount.currency_code, "minor_units": amount.minor_units}
