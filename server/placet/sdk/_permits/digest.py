"""Digest of an action, computed as the server computes it. Needs the extra ``placet-sdk[permits]``.

It is the SHA-256 of the canonical JSON (RFC 8785) of the action, the identity and the run_id, as `Client.authorize`
sends them. A value that the client rejects has no digest.
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
    """Return the digest in lower-case hex. Raises PermitError ``action_invalid`` if no server accepts the action."""
    return hashlib.sha256(action_binding(action, identity, run_id)).hexdigest()


def action_binding(action: Action, identity: Identity, run_id: str = "") -> bytes:
    """Return the canonical JSON of which the digest is computed. Raises PermitError ``action_invalid``."""
    try:
        message = request_to_proto(Request(action, identity, Run(run_id)), "")
        return rfc8785.dumps(
            {"action": _action(message.action), "identity": _identity(message.identity), "run_id": message.run.run_id}
        )
    except InvalidRequestError as error:
        raise PermitError(PermitReason.ACTION_INVALID, str(error.failure)) from None
    except (ValueError, RecursionError) as error:
        raise PermitError(PermitReason.ACTION_INVALID, f"action.params_json: is not I-JSON: {error}") from None


def _action(action: action_pb2.Action) -> dict[str, Any]:
    document: dict[str, Any] = {
        "destination": action.destination,
        "dry_run": action.dry_run,
        "environment": action.environment,
        "params": _parse_object(action.params_json),
        "scope": action.scope,
        "tool": action.tool,
        "tool_schema_version": action.tool_schema_version,
    }
    if action.HasField("amount"):
        document["amount"] = {"currency_code": action.amount.currency_code, "minor_units": action.amount.minor_units}
    return document


def _identity(identity: action_pb2.Identity) -> dict[str, Any]:
    chain = [{"principal": hop.principal, "scopes": sorted(set(hop.scopes))} for hop in identity.delegation_chain]
    delegation = [hop.principal for hop in identity.delegation_chain] or list(identity.delegation)
    return {
        "agent": identity.agent,
        "delegation": delegation,
        **({"delegation_chain": chain} if chain else {}),
        "roles": sorted(set(identity.roles)),
        "tenant": identity.tenant,
        "user": identity.user,
    }


def _parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object. Parses as strictly as the server, because another result would be another call."""
    value = _DECODER.decode(text)
    if not isinstance(value, dict):
        raise ValueError("it must be an object")  # noqa: TRY004 - the text is wrong, not the type of the argument
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
