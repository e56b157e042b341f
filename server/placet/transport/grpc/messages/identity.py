"""Parses the identity of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.limits import (
    DELEGATION_MAX,
    DELEGATION_SCOPES_MAX,
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    ROLES_MAX,
)
from placet.kernel.model import DelegationHop, Identity

if TYPE_CHECKING:
    from placet.transport.grpc.messages.validation import RequestValidator
    from placet.v1 import action_pb2

_CHAIN = "identity.delegation_chain"
_UNVERIFIED = "cannot be verified: the server authenticates no callers; leave it out"


def identity_of(validator: RequestValidator, message: action_pb2.Identity, *, verified: bool) -> Identity:
    """Return the identity. `verified` is whether authentication verified the tokens and set `proven_by`."""
    roles = validator.identifiers("identity.roles", message.roles, ROLES_MAX, LABEL_BYTES_MAX)
    if message.user_token:  # authentication verifies and removes it
        validator.violation("identity.user_token", _UNVERIFIED)
    delegation = validator.names("identity.delegation", message.delegation, DELEGATION_MAX, PRINCIPAL_BYTES_MAX)
    chain = _chain(validator, message, verified=verified) if message.delegation_chain else ()
    return Identity(
        agent=validator.name("identity.agent", message.agent, PRINCIPAL_BYTES_MAX, required=True),
        tenant=validator.tenant("identity.tenant", message.tenant),
        user=validator.name("identity.user", message.user, PRINCIPAL_BYTES_MAX),
        roles=tuple(sorted(set(roles))),
        delegation=delegation if not chain else tuple(hop.principal for hop in chain),
        delegation_chain=chain,
    )


def _chain(validator: RequestValidator, message: action_pb2.Identity, *, verified: bool) -> tuple[DelegationHop, ...]:
    hops = message.delegation_chain
    if len(hops) > DELEGATION_MAX:
        validator.violation(_CHAIN, f"has {len(hops)} entries; at most {DELEGATION_MAX} are accepted")
        return ()
    if message.delegation and list(message.delegation) != [hop.principal for hop in hops]:
        validator.violation("identity.delegation", f"names others than {_CHAIN}; leave it out")
    return tuple(_hop(validator, f"{_CHAIN}[{index}]", hop, verified=verified) for index, hop in enumerate(hops))


def _hop(validator: RequestValidator, place: str, hop: action_pb2.DelegationHop, *, verified: bool) -> DelegationHop:
    if hop.token:  # authentication verifies and removes it
        validator.violation(f"{place}.token", _UNVERIFIED)
    if hop.proven_by and not verified:
        validator.violation(f"{place}.proven_by", "is set by Placet; leave it out")
    count = len(hop.scopes)
    if not 1 <= count <= DELEGATION_SCOPES_MAX:
        what = f"has {count} entries; must be 1 to {DELEGATION_SCOPES_MAX}, such as * for every tool"
        validator.violation(f"{place}.scopes", what)
    for number, scope in enumerate(hop.scopes[:DELEGATION_SCOPES_MAX]):
        validator.tool_glob(f"{place}.scopes[{number}]", scope)
    return DelegationHop(
        validator.name(f"{place}.principal", hop.principal, PRINCIPAL_BYTES_MAX, required=True),
        tuple(sorted(set(hop.scopes))),
        hop.proven_by,
    )
