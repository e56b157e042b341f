"""What identity needs of the technologies that prove who calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from placet.identity.model import Principal


class Credentials(Struct, frozen=True):
    """What a caller presents with one call."""

    authorization: tuple[str, ...] = ()
    """The values of the header ``authorization``, such as ``Bearer eyJhbGciOi...``."""
    certificate: bytes = b""
    """The client's certificate in PEM, after TLS verified it against the CAs of the listener; empty for none."""
    peer: str = ""
    """Address of the connection."""


class User(Struct, frozen=True):
    """The user whom a user token names."""

    person: str
    """Id of the person, the same for each of the person's credentials."""
    roles: tuple[str, ...]
    """The user's roles in the organisation, sorted and distinct."""
    tenants: frozenset[str]
    """The tenants that the user belongs to, or EVERY_TENANT alone."""
    issuer: str


class Authenticator(Protocol):
    """Proves who calls."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return the caller that the credentials prove. UnauthenticatedError if they prove none."""

    async def require_current(self, principal: Principal) -> None:
        """Raise UnauthenticatedError if the caller's credential was revoked since it was verified."""

    async def user_of(self, token: str) -> User:
        """Return the user whom a user token names. UnauthenticatedError if it proves none."""
