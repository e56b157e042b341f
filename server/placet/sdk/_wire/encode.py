"""Requests to protobuf messages. A value that a message cannot hold exactly is an error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from placet.sdk._wire.fields import (
    invalid,
    invalid_params,
    require_list,
    require_strings,
    require_type,
    set_fields,
    wrong_type,
)
from placet.sdk.errors import InvalidParamsError, InvalidRequestError, WrongTypeError
from placet.sdk.types import Action, Amount, Evidence, Identity, Model, Request, Run
from placet.v1 import action_pb2, authorization_pb2

PARAMS_DEPTH_MAX: Final = 32
"""Maximum nesting of params, as on the server."""
SAFE_INTEGER_MAX: Final = 2**53 - 1
"""Largest integer that JSON readers which use doubles do not round."""
_PARAMS: Final = "action.params_json"
_TOO_DEEP: Final = f"is nested deeper than {PARAMS_DEPTH_MAX} levels"


def request_to_proto(request: Request, idempotency_key: str, prefix: str = "") -> authorization_pb2.AuthorizeRequest:
    """Return the message. `prefix` precedes the field paths in errors.

    Raises InvalidRequestError, WrongTypeError or InvalidParamsError.
    """
    try:
        return _request(request, idempotency_key)
    except InvalidRequestError as error:
        violations = tuple(
            (f"{prefix}{violation.field}".rstrip("."), violation.description) for violation in error.failure.violations
        )
        if isinstance(error, WrongTypeError):
            raise wrong_type(*violations[0]) from None
        if isinstance(error, InvalidParamsError):
            raise invalid_params(*violations[0]) from None
        raise invalid(*violations) from None


def trace_metadata(traceparent: str | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata of the call. Raises InvalidRequestError if `traceparent` cannot be sent."""
    if not traceparent:
        return ()
    require_type(str, "traceparent", traceparent)
    if not (traceparent.isascii() and traceparent.isprintable()):
        raise invalid(("traceparent", "must be printable ASCII, as W3C Trace Context requires"))
    return (("traceparent", traceparent),)


def _request(request: Request, idempotency_key: str) -> authorization_pb2.AuthorizeRequest:
    require_type(Request, "", request)
    evidence = require_list(Evidence, "evidence", request.evidence)
    message = authorization_pb2.AuthorizeRequest(
        action=_action(require_type(Action, "action", request.action)),
        identity=_identity(require_type(Identity, "identity", request.identity)),
        run=_run(require_type(Run, "run", request.run)) if request.run is not None else None,
        model=_model(require_type(Model, "model", request.model)) if request.model is not None else None,
        evidence=[_evidence(document, f"evidence[{index}].") for index, document in enumerate(evidence)],
    )
    return set_fields(
        message,
        "",
        idempotency_key=idempotency_key,
        approval_id=request.approval_id,
        include_permit=request.include_permit,
    )


def _action(action: Action) -> action_pb2.Action:
    amount = None if action.amount is None else _amount(require_type(Amount, "action.amount", action.amount))
    return set_fields(
        action_pb2.Action(amount=amount),
        "action.",
        tool=action.tool,
        params_json=_params(action.params),
        scope=action.scope,
        environment=action.environment,
        destination=action.destination,
        dry_run=action.dry_run,
        tool_schema_version=action.tool_schema_version,
    )


def _params(params: Mapping[str, Any] | str) -> str:
    """Return the params as JSON text. Text is returned as it is: the server checks it."""
    if isinstance(params, str):
        _check_value(params)
        return params
    if not isinstance(params, Mapping):
        raise wrong_type(_PARAMS, f"must be a mapping or JSON text, not {type(params).__name__}")
    try:
        text = json.dumps(dict(params), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except TypeError as error:
        raise wrong_type(_PARAMS, f"is not JSON: {error}") from None
    except RecursionError:
        raise invalid_params(_PARAMS, _TOO_DEEP) from None
    except ValueError as error:  # NaN, an infinity, or a circular reference
        raise invalid_params(_PARAMS, _describe_non_finite(params) or f"is not JSON: {error}") from None
    _check(params)
    return text


def _describe_non_finite(params: Mapping[str, Any]) -> str:
    """Return the error for the first number that is NaN or infinite, with its path. Empty if there is none."""
    seen: set[int] = set()
    stack: list[tuple[str, object]] = [("params", params)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return f"is not JSON: {path} is {value}, which JSON cannot hold"
        if id(value) not in seen:
            seen.add(id(value))
            stack += reversed(_members_with_paths(path, value))
    return ""


def _members_with_paths(path: str, value: object) -> list[tuple[str, object]]:
    """Return the members of a container, each with its path."""
    if isinstance(value, Mapping):
        return [(_member_path(path, key), member) for key, member in value.items()]
    if isinstance(value, list | tuple):
        return [(f"{path}[{index}]", member) for index, member in enumerate(value)]
    return []


def _member_path(path: str, key: object) -> str:
    return f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"


def _check(params: Mapping[str, Any]) -> None:
    """Raise an error for values that JSON would change: keys that are not text, large integers, lone surrogates."""
    level: list[object] = [params]
    for _ in range(PARAMS_DEPTH_MAX):
        next_level: list[object] = []
        for value in level:
            next_level += _checked_members(value)
        level = next_level
        if not level:
            return
    if any(isinstance(value, Mapping | list | tuple) for value in level):
        raise invalid_params(_PARAMS, _TOO_DEEP)


def _checked_members(value: object) -> Iterable[object]:
    """Return the members of a container after checking them; nothing for another value."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise wrong_type(_PARAMS, f"has the key {key!r}; keys must be text")
            _check_value(key)
        members: list[object] = list(value.values())
    elif isinstance(value, list | tuple):
        members = list(value)
    else:
        return ()
    for member in members:
        _check_value(member)
    return members


def _check_value(value: object) -> None:
    if isinstance(value, int) and not isinstance(value, bool) and not -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX:
        description = f"has an integer beyond ±{SAFE_INTEGER_MAX}, which JSON readers round; send it as text"
        raise invalid_params(_PARAMS, description)
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise invalid_params(_PARAMS, "has a lone surrogate, which is not Unicode text") from None


def _amount(amount: Amount) -> action_pb2.Money:
    if type(amount.minor_units) is not int:
        raise wrong_type("action.amount.minor_units", "must be an int: minor units, such as 4500 for 45.00 USD")
    return set_fields(
        action_pb2.Money(),
        "action.amount.",
        currency_code=amount.currency_code,
        minor_units=amount.minor_units,
        exponent=amount.exponent,
    )


def _identity(identity: Identity) -> action_pb2.Identity:
    message = action_pb2.Identity(
        roles=require_strings("identity.roles", identity.roles),
        delegation=require_strings("identity.delegation", identity.delegation),
    )
    for index, hop in enumerate(identity.delegation_chain):
        path = f"identity.delegation_chain[{index}]"
        fields = action_pb2.DelegationHop(scopes=require_strings(f"{path}.scopes", hop.scopes))
        message.delegation_chain.append(set_fields(fields, f"{path}.", principal=hop.principal, token=hop.token))
    return set_fields(message, "identity.", agent=identity.agent, user=identity.user, tenant=identity.tenant)


def _run(run: Run) -> action_pb2.Run:
    return set_fields(
        action_pb2.Run(),
        "run.",
        run_id=run.run_id,
        trace_id=run.trace_id,
        step=run.step,
        workflow=run.workflow,
        planner=run.planner,
    )


def _model(model: Model) -> action_pb2.Model:
    return set_fields(
        action_pb2.Model(),
        "model.",
        name=model.name,
        prompt_version=model.prompt_version,
        input_tokens=model.input_tokens,
        output_tokens=model.output_tokens,
        estimated_cost_micros=model.estimated_cost_micros,
    )


def _evidence(evidence: Evidence, path: str) -> action_pb2.Evidence:
    return set_fields(action_pb2.Evidence(), path, uri=evidence.uri, sha256=evidence.sha256)
