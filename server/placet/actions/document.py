"""Canonical JSON of a request: what policy sees, what identifies a repeated request, what an approval is bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from placet.kernel.model import Action, Amount, Evidence, Identity, Model, Run


def canonical_request(
    action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]
) -> bytes:
    """Return the canonical JSON of the caller's request, as policy sees it.

    Keys and numbers are restricted so that orjson with sorted keys writes RFC 8785.
    """
    body = {
        "action": action_fields(action),
        "evidence": _evidence(evidence),
        "identity": identity_fields(identity),
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
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def request_content(
    action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]
) -> bytes:
    """Return the canonical JSON that identifies a request; its digest is the request_digest.

    Excludes what a retry measures anew: trace_id, step, and the model's tokens and cost.
    """
    body = {
        "action": action_fields(action),
        "evidence": _evidence(evidence),
        "identity": identity_fields(identity),
        "model": {"name": model.name, "prompt_version": model.prompt_version},
        "run": {"planner": run.planner, "run_id": run.run_id, "workflow": run.workflow},
    }
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def action_binding(action: Action, identity: Identity, run: Run) -> bytes:
    """Return the canonical JSON that an approval and a permit are bound to; its digest is the action_digest."""
    bound = {"action": action_fields(action), "identity": identity_fields(identity), "run_id": run.run_id}
    return orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)


def action_fields(action: Action) -> dict[str, Any]:
    """Return the action as policy sees it. `amount` is omitted when there is none."""
    fields = {
        "destination": action.destination,
        "dry_run": action.dry_run,
        "environment": action.environment,
        "params": orjson.Fragment(action.params),
        "scope": action.scope,
        "tool": action.tool,
        "tool_schema_version": action.tool_schema_version,
    }
    if action.amount is not None:
        fields["amount"] = _amount(action.amount)
    return fields


def identity_fields(identity: Identity) -> dict[str, Any]:
    """Return the identity as policy sees it."""
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
