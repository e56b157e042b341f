"""Chooses how to verify what a caller presents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from placet.kernel.errors import UnauthenticatedError
from placet.tokens.secret import TOKEN_PREFIX

if TYPE_CHECKING:
    from placet.identity.model import Principal
    from placet.identity.ports import Credentials, Delegation, User

CREDENTIAL_MISSING: Final = "CREDENTIAL_MISSING"
CREDENTIAL_INVALID: Final = "CREDENTIAL_INVALID"
CREDENTIAL_EXPIRED: Final = "CREDENTIAL_EXPIRED"
ISSUER_KEYS_UNAVAILABLE: Final = "ISSUER_KEYS_UNAVAILABLE"
BEARER_BYTES_MAX: Final = 16_384
"""Longest credential in a header. JWTs of providers that list groups take up to about 8 KiB."""
_SCHEME: Final = "bearer "


class TokenVerifier(Protocol):
    """Verifies access tokens."""

    async def principal(self, bearer: str, peer: str) -> Principal:
        """Return whom it proves. UnauthenticatedError if it does not prove a caller."""

    async def require_current(self, token_id: str) -> None:
        """Raise UnauthenticatedError if a token that was accepted before was revoked since."""


class BearerVerifier(Protocol):
    """Verifies one kind of bearer credential."""

    async def principal(self, bearer: str, peer: str) -> Principal:
        """Return whom it proves. UnauthenticatedError if it does not prove a caller."""


class UserVerifier(Protocol):
    """Verifies user tokens."""

    async def user(self, token: str) -> User:
        """Return the user whom it proves. UnauthenticatedError if it does not prove a user."""


class DelegationVerifier(Protocol):
    """Verifies signed hops of a delegation."""

    async def delegation(self, token: str) -> Delegation:
        """Return the hop that it signs. UnauthenticatedError if it does not prove one."""


class CertificateVerifier(Protocol):
    """Recognizes client certificates that TLS verified."""

    def principal(self, certificate: bytes, peer: str) -> Principal:
        """Return whom it proves. UnauthenticatedError if it matches no entry."""


class AcceptedCredentials(Struct, frozen=True):
    """The accepted kinds of credentials. None for a kind that is not accepted. Implements `Authenticator`."""

    tokens: TokenVerifier | None = None
    jwts: BearerVerifier | None = None
    certificates: CertificateVerifier | None = None
    users: UserVerifier | None = None
    """Of user tokens, whatever credentials callers have."""
    delegations: DelegationVerifier | None = None
    """Of signed hops of a delegation, likewise."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return the caller. A bearer credential counts before a certificate."""
        if len(credentials.authorization) > 1:
            raise invalid("the call has several authorization headers; send one")
        if credentials.authorization:
            return await self._bearer(_bearer_of(credentials.authorization[0]), credentials.peer)
        if credentials.certificate and self.certificates is not None:
            return self.certificates.principal(credentials.certificate, credentials.peer)
        raise UnauthenticatedError(CREDENTIAL_MISSING, f"the call has no credential; send {self._kinds()}")

    async def require_current(self, principal: Principal) -> None:
        """Raise UnauthenticatedError if the caller's credential was revoked since it was verified."""
        if principal.token_id and self.tokens is not None:
            await self.tokens.require_current(principal.token_id)

    async def user_of(self, token: str) -> User:
        """Return the user of a user token."""
        if self.users is None:
            raise invalid("identity.user_token proves no user: the server trusts no issuer of user tokens")
        if len(token) > BEARER_BYTES_MAX:
            raise invalid(f"identity.user_token is longer than {BEARER_BYTES_MAX} bytes")
        return await self.users.user(token)

    async def delegation_of(self, token: str) -> Delegation:
        """Return the signed hop of a delegation."""
        if self.delegations is None:
            raise invalid("identity.delegation_chain: the server trusts no issuer of delegations")
        if len(token) > BEARER_BYTES_MAX:
            raise invalid(f"identity.delegation_chain: a token is longer than {BEARER_BYTES_MAX} bytes")
        return await self.delegations.delegation(token)

    async def _bearer(self, bearer: str, peer: str) -> Principal:
        verifier = self.tokens if bearer.startswith(TOKEN_PREFIX) else self.jwts
        if verifier is None:
            raise invalid(f"this kind of credential is not accepted; send {self._kinds()}")
        return await verifier.principal(bearer, peer)

    def _kinds(self) -> str:
        kinds = (
            (self.tokens, "an access token in the header authorization, after Bearer"),
            (self.jwts, "a JWT in the header authorization, after Bearer"),
            (self.certificates, "a client certificate, at mtls_listen if the server has that address"),
        )
        return ", or ".join(text for verifier, text in kinds if verifier is not None)


def _bearer_of(header: str) -> str:
    if len(header) > BEARER_BYTES_MAX:
        raise invalid(f"the authorization header is longer than {BEARER_BYTES_MAX} bytes")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise invalid('the authorization header must be "Bearer" and the credential')
    return header[len(_SCHEME) :].strip()


def invalid(text: str, cause: str = "") -> UnauthenticatedError:
    """Return the error of a credential that proves nothing. `cause` is for the log alone."""
    return UnauthenticatedError(CREDENTIAL_INVALID, text, cause)
