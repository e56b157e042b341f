"""Chooses how to verify what a caller presents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from placet.authentication.access_token import TOKEN_PREFIX
from placet.kernel.errors import UnauthenticatedError

if TYPE_CHECKING:
    from placet.identity.model import Principal
    from placet.identity.ports import Credentials, User

CREDENTIAL_MISSING: Final = "CREDENTIAL_MISSING"
CREDENTIAL_INVALID: Final = "CREDENTIAL_INVALID"
CREDENTIAL_EXPIRED: Final = "CREDENTIAL_EXPIRED"
BEARER_BYTES_MAX: Final = 16_384
"""Longest credential in a header. JWTs of providers that list groups take up to about 8 KiB."""
_SCHEME: Final = "bearer "


class BearerVerifier(Protocol):
    """Verifies one kind of bearer credential."""

    async def principal(self, bearer: str, peer: str) -> Principal:
        """Return whom it proves. UnauthenticatedError if it does not prove a caller."""


class JwtVerifier(BearerVerifier, Protocol):
    """Verifies JWTs, of callers and of users."""

    async def user(self, token: str) -> User:
        """Return the user whom it proves. UnauthenticatedError if it does not prove a user."""


class CertificateVerifier(Protocol):
    """Recognizes client certificates that TLS verified."""

    def principal(self, certificate: bytes, peer: str) -> Principal:
        """Return whom it proves. UnauthenticatedError if it matches no entry."""


class AcceptedCredentials(Struct, frozen=True):
    """The accepted kinds of credentials. None for a kind that is not accepted. Implements `Authenticator`."""

    tokens: BearerVerifier | None = None
    jwts: JwtVerifier | None = None
    certificates: CertificateVerifier | None = None

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return the caller. A bearer credential counts before a certificate."""
        if len(credentials.authorization) > 1:
            raise _invalid("the call has several authorization headers; send one")
        if credentials.authorization:
            return await self._bearer(_bearer_of(credentials.authorization[0]), credentials.peer)
        if credentials.certificate and self.certificates is not None:
            return self.certificates.principal(credentials.certificate, credentials.peer)
        raise UnauthenticatedError(CREDENTIAL_MISSING, f"the call has no credential; send {self._kinds()}")

    async def user_of(self, token: str) -> User:
        """Return the user of a user token."""
        if self.jwts is None:
            raise _invalid("identity.user_token: the server trusts no issuer of user tokens")
        if len(token) > BEARER_BYTES_MAX:
            raise _invalid(f"identity.user_token: is longer than {BEARER_BYTES_MAX} bytes")
        return await self.jwts.user(token)

    async def _bearer(self, bearer: str, peer: str) -> Principal:
        verifier = self.tokens if bearer.startswith(TOKEN_PREFIX) else self.jwts
        if verifier is None:
            raise _invalid(f"this kind of credential is not accepted; send {self._kinds()}")
        return await verifier.principal(bearer, peer)

    def _kinds(self) -> str:
        kinds = (
            (self.tokens, "an access token as authorization: Bearer"),
            (self.jwts, "a JWT as authorization: Bearer"),
            (self.certificates, "a client certificate"),
        )
        return ", or ".join(text for verifier, text in kinds if verifier is not None)


def _bearer_of(header: str) -> str:
    if len(header) > BEARER_BYTES_MAX:
        raise _invalid(f"the authorization header is longer than {BEARER_BYTES_MAX} bytes")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise _invalid('the authorization header must be "Bearer" and the credential')
    return header[len(_SCHEME) :].strip()


def _invalid(text: str) -> UnauthenticatedError:
    return UnauthenticatedError(CREDENTIAL_INVALID, text)
