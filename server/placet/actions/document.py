"""Canonical JSON of a request: what policy sees, what identifies a repeated request, what an approval is bound to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from placet.actions.canonical_json import digest

if TYPE_CHECKING:
    from placet.kernel.model import Action, Amount, DelegationHop, Evidence, Identity, Model, Run


class CanonicalForms(NamedTuple):
    """What is derived from the canonical JSON of a request."""

    document: bytes
    """The caller's request as policy sees it: an object with the keys action, evidence, identity, model and run."""
    screened: bytes
    """The values of action, evidence and model: the parts of `document` that redaction screens."""
    action_digest: str
    """The digest of `action_binding`."""
    request_digest: str
    """Identifies a request: a digest that excludes what a retry measures anew, which is trace_id, step, and the model's
    tokens and cost."""


def canonical_forms(
    action: Action,
    identity: Identity,
    run: Run,
    model: Model,
    evidence: tuple[Evidence, ...],
    identity_json: bytes = b"",
) -> CanonicalForms:
    """Return everything that is derived from the canonical JSON of a request. Serialises each part of it once.

    `identity_json` is the result of `canonical_identity`, if the caller has it. Keys are written in their order, and
    numbers are restricted, so that orjson writes RFC 8785.
    """
    action_json = orjson.dumps(action_fields(action))
    evidence_json = orjson.dumps([{"sha256": item.sha256, "uri": item.uri} for item in evidence]) if evidence else b"[]"
    identity_json = identity_json or canonical_identity(identity)
    model_json = orjson.dumps(_model_fields(model))
    bound_identity = identity_json if not identity.delegation_chain else orjson.dumps(bound_identity_fields(identity))
    parts = b'"action":%b,"evidence":%b,"identity":%b,' % (action_json, evidence_json, identity_json)
    repeated = orjson.dumps(
        {
            "model": {"name": model.name, "prompt_version": model.prompt_version},
            "run": {"planner": run.planner, "run_id": run.run_id, "workflow": run.workflow},
        }
    )
    bound = b'{"action":%b,"identity":%b,"run_id":%b}' % (action_json, bound_identity, orjson.dumps(run.run_id))
    return CanonicalForms(
        document=b'{%b"model":%b,"run":%b}' % (parts, model_json, orjson.dumps(_run_fields(run))),
        screened=b"%b %b %b" % (action_json, evidence_json, model_json),
        action_digest=digest(bound),
        request_digest=digest(b"{%b%b" % (parts, repeated[1:])),
    )


def canonical_identity(identity: Identity) -> bytes:
    """Return the canonical JSON of the identity, which is a part of the canonical JSON of a request."""
    return orjson.dumps(identity_fields(identity))


def canonical_request(
    action: Action, identity: Identity, run: Run, model: Model, evidence: tuple[Evidence, ...]
) -> bytes:
    """Return the canonical JSON of the caller's request, as policy sees it."""
    return canonical_forms(action, identity, run, model, evidence).document


def action_binding(action: Action, identity: Identity, run: Run) -> bytes:
    """Return the canonical JSON that an approval and a permit are bound to; its digest is the action_digest."""
    bound = {"action": action_fields(action), "identity": bound_identity_fields(identity), "run_id": run.run_id}
    return orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)


def action_fields(action: Action) -> dict[str, Any]:
    """Return the action as policy sees it, its keys in order. `amount` is omitted when there is none."""
    fields = {
        "destination": action.destination,
        "dry_run": action.dry_run,
        "environment": action.environment,
        "params": orjson.Fragment(action.params),
        "scope": action.scope,
        "tool": action.tool,
        "tool_schema_version": action.tool_schema_version,
    }
    return fields if action.amount is None else {"amount": _amount(action.amount), **fields}


def identity_fields(identity: Identity) -> dict[str, Any]:
    """Return the identity as policy sees it, its keys in order. `delegation_chain` is omitted when there is none."""
    return _identity_fields(identity, [_hop_fields(hop) for hop in identity.delegation_chain])


def bound_identity_fields(identity: Identity) -> dict[str, Any]:
    """Return the identity that an approval and a permit are bound to: without who proved the hops of a delegation.

    An executor knows the hops, but not whether their tokens were verified.
    """
    chain = [{"principal": hop.principal, "scopes": hop.scopes} for hop in identity.delegation_chain]
    return _identity_fields(identity, chain)


def _identity_fields(identity: Identity, chain: list[dict[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {"agent": identity.agent, "delegation": identity.delegation}
    if chain:
        fields["delegation_chain"] = chain
    return {**fields, "roles": identity.roles, "tenant": identity.tenant, "user": identity.user}


def _hop_fields(hop: DelegationHop) -> dict[str, Any]:
    return {"principal": hop.principal, "proven_by": hop.proven_by, "scopes": hop.scopes}


def _model_fields(model: Model) -> dict[str, Any]:
    return {
        "estimated_cost_micros": model.estimated_cost_micros,
        "input_tokens": model.input_tokens,
        "name": model.name,
        "output_tokens": model.output_tokens,
        "prompt_version": model.prompt_version,
    }


def _run_fields(run: Run) -> dict[str, Any]:
    return {
        "planner": run.planner,
        "run_id": run.run_id,
        "step": run.step,
        "trace_id": run.trace_id,
        "workflow": run.workflow,
    }


def _amount(amount: Amount) -> dict[str, Any]:
    return {"currency_code": amount.currency_code, "minor_units": amount.minor_units}
