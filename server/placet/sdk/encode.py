"""Requests into wire messages. What cannot be said on the wire exactly as it was given is refused here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from placet.sdk import failures
from placet.sdk.errors import InvalidRequestError
from placet.sdk.failures import Failure, FieldViolation
from placet.v1 import action_pb2, authorization_pb2

if TYPE_CHECKING:
    from placet.sdk.model import Action, Amount, Evidence, Identity, Model, Request, Run

_Item = TypeVar("_Item")


def encode(request: Request, idempotency_key: str, prefix: str = "") -> authorization_pb2.AuthorizeRequest:
    """The message. InvalidRequestError names what cannot be sent, with `prefix` before the field's name."""
    try:
        return authorization_pb2.AuthorizeRequest(
            idempotency_key=idempotency_key,
            action=_action(request.action),
            identity=_identity(request.identity),
            run=_run(request.run) if request.run is not None else None,
            model=_model(request.model) if request.model is not None else None,
            evidence=[_evidence(each) for each in _listed("evidence", request.evidence)],
            approval_id=request.approval_id,
        )
    except InvalidRequestError as error:
        raise refused(*((prefix + each.field, each.description) for each in error.failure.violations)) from None
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise refused((prefix.rstrip("."), f"cannot be sent: {error}")) from None


def refused(*violations: tuple[str, str]) -> InvalidRequestError:
    """The error for fields that are wrong."""
    named = tuple(FieldViolation(field, description) for field, description in violations)
    return InvalidRequestError(Failure(failures.INVALID_ARGUMENT, violations=named))


def metadata_of(traceparent: str | None) -> tuple[tuple[str, str], ...]:
    """The call's metadata. InvalidRequestError when a traceparent cannot be sent."""
    if not traceparent:
        return ()
    if not (traceparent.isascii() and traceparent.isprintable()):
        raise refused(("traceparent", "must be printable ASCII, as W3C Trace Context says"))
    return (("traceparent", traceparent),)


def _action(action: Action) -> action_pb2.Action:
    return action_pb2.Action(
        tool=action.tool,
        params_json=_params(action.params),
        amount=_amount(action.amount) if action.amount is not None else None,
        scope=action.scope,
        environment=action.environment,
        destination=action.destination,
        dry_run=action.dry_run,
        tool_schema_version=action.tool_schema_version,
    )


def _params(params: Mapping[str, Any] | str) -> str:
    """JSON text; a text is passed on as it is, and the server judges it."""
    if isinstance(params, str):
        return params
    if not isinstance(params, Mapping):
        raise refused(("action.params_json", f"must be a mapping or JSON text, not {type(params).__name__}"))
    try:
        text = json.dumps(dict(params), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise refused(("action.params_json", f"is no JSON: {error}")) from None
    _check_keys(params)
    return text


def _check_keys(params: Mapping[str, Any]) -> None:
    """JSON would turn ``1`` and ``True`` into texts, so policy would see other keys than the tool."""
    waiting: list[object] = [params]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | Mapping):
            wrong = next((key for key in value if not isinstance(key, str)), None)
            if wrong is not None:
                raise refused(("action.params_json", f"has the key {wrong!r}; keys must be text"))
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def _amount(amount: Amount) -> action_pb2.Money:
    if type(amount.minor_units) is not int:
        raise refused(("action.amount.minor_units", "must be an int: minor units, such as 4500 for 45.00 USD"))
    return action_pb2.Money(
        currency_code=amount.currency_code, minor_units=amount.minor_units, exponent=amount.exponent
    )


def _identity(identity: Identity) -> action_pb2.Identity:
    return action_pb2.Identity(
        agent=identity.agent,
        user=identity.user,
        roles=_listed("identity.roles", identity.roles),
        tenant=identity.tenant,
        delegation=_listed("identity.delegation", identity.delegation),
    )


def _listed(field: str, values: Sequence[_Item]) -> list[_Item]:
    """A text is a sequence of letters too: nobody means that."""
    if isinstance(values, str):
        raise refused((field, "must be a list, not one text"))
    return list(values)


def _run(run: Run) -> action_pb2.Run:
    return action_pb2.Run(
        run_id=run.run_id, trace_id=run.trace_id, step=run.step, workflow=run.workflow, planner=run.planner
    )


def _model(model: Model) -> action_pb2.Model:
    return action_pb2.Model(
        name=model.name,
        prompt_version=model.prompt_version,
        input_tokens=model.input_tokens,
        output_tokens=model.output_tokens,
        estimated_cost_micros=model.estimated_cost_micros,
    )


def _evidence(evidence: Evidence) -> action_pb2.Evidence:
    return action_pb2.Evidence(uri=evidence.uri, sha256=evidence.sha256)
