"""Verifies the signed hops of a delegation, and says in the request who proved each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.identity.delegation import require_delegate, require_proven
from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import DELEGATION_MAX

if TYPE_CHECKING:
    from placet.identity.ports import Authenticator, Delegation
    from placet.v1.action_pb2 import Identity


async def prove_delegation(authenticator: Authenticator, identity: Identity) -> None:
    """Set principal, scopes and issuer of each hop with a token, and remove the token, which is stored nowhere.

    Raises UnauthenticatedError for a token that proves nothing, PermissionDeniedError for one of another hop or tenant.
    """
    hops = identity.delegation_chain
    if len(hops) > DELEGATION_MAX:
        return  # the request is refused as invalid
    proven: dict[int, Delegation] = {}
    for index, hop in enumerate(hops):
        token, hop.token = hop.token, ""
        if hop.proven_by:
            field = f"identity.delegation_chain[{index}].proven_by"
            raise InvalidRequestError([FieldViolation(field, "is set by Placet; leave it out")])
        if token:
            proven[index] = await authenticator.delegation_of(token)
    for index, signed in proven.items():
        hop = hops[index]
        require_proven(signed, identity.tenant, hop.principal, hop.scopes, index)
        hop.principal, hop.proven_by = signed.principal, signed.issuer
        hop.scopes[:] = signed.scopes
    for index, signed in proven.items():
        require_delegate(signed, hops[index + 1].principal if index + 1 < len(hops) else identity.agent, index)
