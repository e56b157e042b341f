"""What identity needs of the technologies that prove who calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from placet.identity.model import EVERY_TENANT

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


class Delegation(Struct, frozen=True):
    """A signed hop of a delegation."""

    principal: str
    """The agent or person that delegates."""
    delegate: str
    """The agent that it delegates to."""
    scopes: tuple[str, ...]
    """Patterns of the tools that it hands on, sorted and distinct. The request's checks apply to them too."""
    tenants: frozenset[str]
    """The tenants that it holds for, or EVERY_TENANT alone."""
    issuer: str

    def belongs_to(self, tenant: str) -> bool:
        """Return whether it holds for the tenant."""
        return EVERY_TENANT in self.tenants or tenant in self.tenants


class Authenticator(Protocol):
    """Proves who calls."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return the caller that the credentials prove. UnauthenticatedError if they prove none."""

    async def require_current(self, principal: Principal) -> None:
        """Raise UnauthenticatedError if the caller's credential was revoked since it was verified."""

    async def user_of(self, token: str) -> User:
        """Return the user whom a user token names. UnauthenticatedError if it proves none."""

    async def delegation_of(self, token: str) -> Delegation:
        """Return the hop that a token of a delegation signs. UnauthenticatedError if it proves none."""
