"""Verifies access tokens: random credentials that Placet creates and stores as a hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from placet.authentication.authenticator import CREDENTIAL_EXPIRED, CREDENTIAL_INVALID
from placet.kernel.errors import UnauthenticatedError
from placet.tokens.secret import TOKEN_CHARS, digest_of, is_well_formed

if TYPE_CHECKING:
    from placet.identity.model import Principal
    from placet.kernel.clock import Clock
    from placet.tokens.directory import TokenDirectory

_NOT_WHOLE: Final = f"the access token was cut off or mistyped; send all of its {TOKEN_CHARS} characters"
_UNKNOWN: Final = "the access token is unknown or was revoked; ask an admin for a new one"
_EXPIRED: Final = "the access token has expired; ask an admin for a new one"


class UseNotes(Protocol):
    """Notes when access tokens are used."""

    def note(self, token_id: str, now_us: int) -> None:
        """Note that a token is used."""
        ...


class AccessTokenVerifier(Struct, frozen=True):
    """Looks tokens up by their SHA-256. How long that takes tells nothing about a token that a caller could guess."""

    directory: TokenDirectory
    uses: UseNotes
    clock: Clock

    async def principal(self, bearer: str, peer: str) -> Principal:
        """Return whom the token proves. UnauthenticatedError if none, LedgerUnavailableError if that is not known."""
        token = await self.directory.find(digest_of(bearer)) if len(bearer) == TOKEN_CHARS else None
        if token is None:
            raise UnauthenticatedError(CREDENTIAL_INVALID, _UNKNOWN if is_well_formed(bearer) else _NOT_WHOLE)
        now_us = self.clock.wall_us()
        if token.expired(now_us):
            raise UnauthenticatedError(CREDENTIAL_EXPIRED, _EXPIRED, f"{token.token_id} expired")
        self.uses.note(token.token_id, now_us)
        return token.principal(peer)

    async def require_current(self, token_id: str) -> None:
        """Raise UnauthenticatedError if the token, which was accepted before, was revoked since."""
        if not await self.directory.has(token_id):
            raise UnauthenticatedError(CREDENTIAL_INVALID, _UNKNOWN, f"{token_id} was revoked")
