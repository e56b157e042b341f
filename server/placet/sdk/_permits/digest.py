"""The digest of what is about to run, made as the server makes it. Needs the extra ``placet-sdk[permits]``.

SHA-256 over the canonical JSON (RFC 8785) of action, identity and run_id. What is digested is what `Client.authorize`
would send, so a value that the client refuses has no digest.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

import rfc8785

from placet.sdk._wire.encode import request_to_proto
from placet.sdk.errors import InvalidRequestError, PermitError, PermitReason
from placet.sdk.types import Action, Identity, Request, Run

if TYPE_CHECKING:
    from placet.v1 import action_pb2


def action_digest(action: Action, identity: Identity, run_id: str = "") -> str:
    """The digest, in lower-case hex. PermitError ``action_invalid`` when no server could have decided this."""
    return hashlib.sha256(action_binding(action, identity, run_id)).hexdigest()


def action_binding(action: Action, identity: Identity, run_id: str = "") -> bytes:
    """The canonical JSON that is digested. PermitError ``action_invalid``."""
    try:
        said = request_to_proto(Request(action, identity, Run(run_id)), "")
        return rfc8785.dumps(
            {"action": _action(said.action), "identity": _identity(said.identity), "run_id": said.run.run_id}
        )
    except InvalidRequestError as error:
        raise PermitError(PermitReason.ACTION_INVALID, str(error.failure)) from None
    except (ValueError, RecursionError) as error:
        raise PermitError(PermitReason.ACTION_INVALID, f"action.params_json: is no I-JSON: {error}") from None


def _action(said: action_pb2.Action) -> dict[str, Any]:
    bound: dict[str, Any] = {
        "destination": said.destination,
        "dry_run": said.dry_run,
        "environment": said.environment,
        "params": _object_of(said.params_json),
        "scope": said.scope,
        "tool": said.tool,
        "tool_schema_version": said.tool_schema_version,
    }
    if said.HasField("amount"):
        bound["amount"] = {"currency_code": said.amount.currency_code, "minor_units": said.amount.minor_units}
    return bound


def _identity(said: action_pb2.Identity) -> dict[str, Any]:
    return {
        "agent": said.agent,
        "delegation": list(said.delegation),
        "roles": sorted(set(said.roles)),
        "tenant": said.tenant,
        "user": said.user,
    }


def _object_of(text: str) -> dict[str, Any]:
    """The parameters, read as strictly as the server reads them: another reading could be another call."""
    value = _DECODER.decode(text)
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - a text that is wrong, no argument
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
