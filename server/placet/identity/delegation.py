"""Delegation: who handed the work on to whom, with which tools, and why such a chain is denied.

A chain runs from the originator to the one who delegated to the acting agent. Each hop names the tools that it hands
on, as patterns. A hop cannot hand on what it was not given, and no principal appears twice.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from placet.kernel import rule_ids
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.limits import DELEGATION_MAX
from placet.kernel.model import Effect, Finding
from placet.matching.globs import glob_contains, glob_matches
from placet.matching.names import folded, same_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.identity.ports import Delegation
    from placet.kernel.model import DelegationHop, Identity

DELEGATION_MISMATCH = "DELEGATION_MISMATCH"
DELEGATION_OF_ANOTHER_TENANT = "DELEGATION_OF_ANOTHER_TENANT"


class DelegationProof(StrEnum):
    """What a tenant requires of each hop."""

    NONE = "none"
    """Names are enough."""
    SCOPED = "scoped"
    """Each hop says which tools it hands on."""
    SIGNED = "signed"
    """Each hop is signed by an issuer that the server trusts."""


class DelegationRules(Struct, frozen=True):
    """The section `delegation` of a tenant's file."""

    depth_max: int = DELEGATION_MAX
    require: DelegationProof = DelegationProof.NONE


def delegation_denial(identity: Identity, tool: str, rules: DelegationRules | None) -> Finding | None:
    """Return why work that was delegated like this may not be done with the tool; None when it may.

    `rules` is None for a tenant without the section: then a list of names alone is not checked.
    """
    chain = identity.delegation_chain
    if not chain and rules is None:
        return None
    if looped := _looped(identity):
        return _deny(rule_ids.DELEGATION_LOOP, {"principal": looped})
    if rules is not None and len(identity.delegation) > rules.depth_max:
        return _deny(rule_ids.DELEGATION_TOO_DEEP, {"hops": len(identity.delegation), "depth_max": rules.depth_max})
    if rules is not None and (unproven := _unproven(identity, rules.require)):
        return _deny(rule_ids.DELEGATION_UNPROVEN, {"principal": unproven, "required": rules.require.value})
    return _widened(chain) or _outside(chain, tool)


def _looped(identity: Identity) -> str:
    """Return the principal that appears twice, the agent included; "" for none."""
    seen: set[str] = set()
    for name in (*identity.delegation, identity.agent):
        if folded(name) in seen:
            return name
        seen.add(folded(name))
    return ""


def _unproven(identity: Identity, required: DelegationProof) -> str:
    """Return the first principal whose hop is not proven as required; "" for none."""
    if required is DelegationProof.NONE:
        return ""
    if not identity.delegation_chain:
        return identity.delegation[0] if identity.delegation else ""
    if required is DelegationProof.SCOPED:
        return ""
    return next((hop.principal for hop in identity.delegation_chain if not hop.proven_by), "")


def _widened(chain: Sequence[DelegationHop]) -> Finding | None:
    """Return the deny of the first hop that hands on more than it was given."""
    for before, hop in pairwise(chain):
        for scope in hop.scopes:
            if scope not in before.scopes and not any(glob_contains(outer, scope) for outer in before.scopes):
                details = {"principal": hop.principal, "scope": scope, "given_by": before.principal}
                return _deny(rule_ids.DELEGATION_WIDENS, details)
    return None


def _outside(chain: Sequence[DelegationHop], tool: str) -> Finding | None:
    """Return the deny of a tool that some hop does not hand on. Looks at every hop, not only at the last."""
    for hop in chain:
        if not any(glob_matches(scope, tool) for scope in hop.scopes):
            return _deny(rule_ids.DELEGATION_SCOPE, {"principal": hop.principal, "scopes": list(hop.scopes)})
    return None


def _deny(rule_id: str, details: dict[str, Any]) -> Finding:
    return Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details)


def require_proven(proven: Delegation, tenant: str, principal: str, scopes: Sequence[str], index: int) -> None:
    """Raise PermissionDeniedError unless the signed hop belongs to the tenant and the request says the same.

    `principal` and `scopes` are as the request names them for the hop at `index`; empty where it leaves them to the
    token.
    """
    place = f"identity.delegation_chain[{index}]"
    if not proven.belongs_to(tenant):
        raise PermissionDeniedError(
            DELEGATION_OF_ANOTHER_TENANT, f"{place}.token is a delegation that does not belong to this tenant"
        )
    if principal and not same_name(principal, proven.principal):
        raise PermissionDeniedError(
            DELEGATION_MISMATCH, f"{place}.principal: is not the principal of the token; leave it out"
        )
    if scopes and set(scopes) != set(proven.scopes):
        raise PermissionDeniedError(DELEGATION_MISMATCH, f"{place}.scopes: are not those of the token; leave them out")


def require_delegate(proven: Delegation, delegate: str, index: int) -> None:
    """Raise PermissionDeniedError unless the signed hop at `index` hands on to the next principal, or to the agent."""
    if delegate and not same_name(proven.delegate, delegate):
        raise PermissionDeniedError(
            DELEGATION_MISMATCH,
            f"identity.delegation_chain[{index}].token hands on to another agent than the next in the chain",
        )
