"""Builds what authenticates callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.authentication.authenticator import AcceptedCredentials
from placet.authentication.client_certificate import CertificateCallers
from placet.authentication.document import Method
from placet.server.callers.issuers import open_jwt_credentials

if TYPE_CHECKING:
    import contextlib

    from placet.identity.ports import Authenticator
    from placet.server.callers.tokens import TokenParts
    from placet.server.core import Core


async def open_authenticator(stack: contextlib.AsyncExitStack, core: Core, tokens: TokenParts) -> Authenticator | None:
    """Return what authenticates callers; None where callers are not authenticated.

    The stack ends its background work.
    """
    document = core.authentication
    if document is None:
        return None
    jwts = await open_jwt_credentials(stack, core, document.issuers)
    return AcceptedCredentials(
        tokens=tokens.verifier(stack) if Method.TOKEN in document.accept else None,
        jwts=jwts if Method.JWT in document.accept else None,
        users=jwts if any(entry.is_for_users for entry in document.issuers) else None,
        delegations=jwts if any(entry.is_for_delegation for entry in document.issuers) else None,
        certificates=CertificateCallers(document.certificates, core.clock) if document.certificates else None,
    )
