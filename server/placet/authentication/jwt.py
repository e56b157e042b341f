"""Verifies JWTs of issuers: who calls, and on whose behalf an agent acts."""

from __future__ import annotations

from collections import defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import jwt
from msgspec import Struct
from msgspec.structs import replace

from placet.authentication.authenticator import CREDENTIAL_EXPIRED, invalid
from placet.authentication.claims import (
    caller_id,
    calls_for_another,
    delegate_of,
    is_person,
    matches,
    person_id,
    principal_id,
    roles_of,
    scopes_of,
    tenants_of,
)
from placet.authentication.compact import read_unverified
from placet.authentication.verified import Verified, VerifiedTokens
from placet.identity.model import Principal
from placet.identity.ports import Delegation, User
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.model import Caller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.authentication.claims import Claims
    from placet.authentication.compact import UnverifiedToken
    from placet.authentication.issuer_keys import IssuerKeys
    from placet.authentication.issuers import IssuerEntry
    from placet.authentication.jwks import VerificationKey
    from placet.kernel.clock import Clock

METHOD: Final = "jwt"
_SECOND_US: Final = 1_000_000
_REQUIRED: Final = ["iss", "aud", "exp"]


class TrustedIssuer(Struct, frozen=True):
    """An entry of the authentication file, and the keys of its issuer."""

    entry: IssuerEntry
    keys: IssuerKeys


class JwtCredentials:
    """Verifies JWTs of callers and of users. Implements `BearerVerifier`, `UserVerifier`, `DelegationVerifier`.

    A token belongs to exactly one entry: the one of its issuer whose audience it names. An entry is for callers or for
    users, so a runtime that holds the token of its user cannot call as the user.
    """

    def __init__(self, issuers: Iterable[TrustedIssuer], clock: Clock) -> None:
        self._clock = clock
        self._issuers: defaultdict[str, list[TrustedIssuer]] = defaultdict(list)
        for trusted in issuers:
            self._issuers[trusted.entry.issuer].append(trusted)
        self._callers: VerifiedTokens[Principal] = VerifiedTokens()
        self._users: VerifiedTokens[User] = VerifiedTokens()
        self._delegations: VerifiedTokens[Delegation] = VerifiedTokens()

    async def principal(self, bearer: str, peer: str) -> Principal:
        """Return the caller. Raises UnauthenticatedError."""
        digest = sha256(bearer.encode()).digest()
        verified = self._callers.get(digest, self._clock.wall_us())
        if verified is None:
            verified = await self._verified_caller(bearer, peer)
            self._callers.add(digest, verified)
        principal = verified.proven
        if principal.caller.peer != peer:  # the same token over another connection
            caller = principal.caller
            caller = replace(caller, peer=peer)
            principal = Principal(caller, principal.grants, principal.person, principal.roles, principal.expires_at_us)
            verified.proven = principal
        return principal

    async def user(self, token: str) -> User:
        """Return the user. Raises UnauthenticatedError."""
        digest = sha256(token.encode()).digest()
        verified = self._users.get(digest, self._clock.wall_us())
        if verified is None:
            try:
                verified = await self._verified_user(token)
            except UnauthenticatedError as error:
                raise UnauthenticatedError(
                    error.reason, f"identity.user_token proves no user: {error}", error.cause
                ) from error
            self._users.add(digest, verified)
        return verified.proven

    async def delegation(self, token: str) -> Delegation:
        """Return the signed hop of a delegation. Raises UnauthenticatedError."""
        digest = sha256(token.encode()).digest()
        verified = self._delegations.get(digest, self._clock.wall_us())
        if verified is None:
            try:
                verified = await self._verified_delegation(token)
            except UnauthenticatedError as error:
                raise UnauthenticatedError(error.reason, f"identity.delegation_chain: {error}", error.cause) from error
            self._delegations.add(digest, verified)
        return verified.proven

    async def _verified_caller(self, bearer: str, peer: str) -> Verified[Principal]:
        trusted, key, claims = await self._verify(bearer)
        entry = trusted.entry
        if entry.is_for_delegation:
            raise invalid("the audience of the token is for delegation; send it as token of a hop of delegation_chain")
        if entry.is_for_users:
            raise invalid("the audience of the token is for users, who call nothing; send it as identity.user_token")
        is_own = is_person(claims, entry) and not calls_for_another(claims)
        person = person_id(claims, entry) if entry.people and is_own else ""
        expires_at_us = _expires_at_us(claims, entry)
        principal = Principal(
            caller=Caller(caller_id(claims, entry), peer, METHOD, entry.issuer, is_program=not person, person=person),
            grants=tuple(grant.grant() for grant in entry.grants if matches(claims, grant.when)),
            person=person,
            roles=frozenset(roles_of(claims, entry)),
            expires_at_us=expires_at_us,
        )
        return Verified(principal, expires_at_us, key, trusted.keys)

    async def _verified_user(self, token: str) -> Verified[User]:
        trusted, key, claims = await self._verify(token)
        entry = trusted.entry
        if not entry.is_for_users:
            raise invalid("the audience of the token is for callers and not for users")
        if not is_person(claims, entry):
            raise invalid("the token is a program's and not a user's")
        user = User(person_id(claims, entry), roles_of(claims, entry), tenants_of(claims, entry), entry.issuer)
        return Verified(user, _expires_at_us(claims, entry), key, trusted.keys)

    async def _verified_delegation(self, token: str) -> Verified[Delegation]:
        trusted, key, claims = await self._verify(token)
        entry = trusted.entry
        if not entry.is_for_delegation:
            raise invalid("the audience of the token is not for delegation")
        hop = Delegation(
            principal_id(claims, entry), delegate_of(claims), scopes_of(claims), tenants_of(claims, entry), entry.issuer
        )
        return Verified(hop, _expires_at_us(claims, entry), key, trusted.keys)

    async def _verify(self, token: str) -> tuple[TrustedIssuer, VerificationKey, Claims]:
        """Return the entry of a token, the key that signed it, and its claims. Raises UnauthenticatedError."""
        unverified = read_unverified(token)
        trusted = self._entry_of(unverified)
        algorithm = unverified.algorithm
        if algorithm not in trusted.entry.algorithms:
            raise invalid("the algorithm of the token is not accepted for its issuer", f"algorithm {algorithm!r}")
        key = await trusted.keys.key_for(unverified.key_id, algorithm)
        try:
            return trusted, key, _verified_claims(token, trusted.entry, key)
        except jwt.InvalidSignatureError as error:
            wrong = _not_signed(unverified, key)
            if unverified.key_id or not await trusted.keys.read_if_allowed():
                raise wrong from error
        # A token without a key id does not say that its issuer has a new key. The signature does.
        key = await trusted.keys.key_for("", algorithm)
        try:
            return trusted, key, _verified_claims(token, trusted.entry, key)
        except jwt.InvalidSignatureError as error:
            raise wrong from error

    def _entry_of(self, unverified: UnverifiedToken) -> TrustedIssuer:
        entries = self._issuers.get(unverified.issuer)
        if not entries:
            raise invalid("the issuer of the token is not trusted", f"issuer {unverified.issuer[:200]!r}")
        entries = [trusted for trusted in entries if not unverified.audiences.isdisjoint(trusted.entry.audience)]
        if not entries:
            raise invalid("the token is for another audience", f"audiences {sorted(unverified.audiences)!r:.200}")
        if len(entries) > 1:
            raise invalid("the token is for several audiences that mean different things here; request it for one")
        return entries[0]


def _not_signed(unverified: UnverifiedToken, key: VerificationKey) -> UnauthenticatedError:
    """Return the error of a token that the key did not sign. It says so when the signature is shorter than any."""
    cause = f"key id {unverified.key_id!r}"
    if unverified.signature_bytes < key.signature_bytes:
        cause = f"{cause}, signature of {unverified.signature_bytes} of {key.signature_bytes} bytes"
        return invalid("the token is not signed by its issuer: its signature was cut off; send all of the token", cause)
    return invalid("the token is not signed by its issuer", cause)


def _verified_claims(token: str, entry: IssuerEntry, key: VerificationKey) -> dict[str, Any]:
    """Return the claims after everything about the token was verified.

    Raises InvalidSignatureError if the key did not sign it, and UnauthenticatedError.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.public_key,
            algorithms=sorted(key.algorithms.intersection(entry.algorithms)),
            audience=entry.audience,
            issuer=entry.issuer,
            leeway=entry.leeway_seconds,
            options={"require": _REQUIRED},
        )
    except jwt.ExpiredSignatureError as error:
        raise UnauthenticatedError(CREDENTIAL_EXPIRED, "the token has expired; get a new one") from error
    except jwt.ImmatureSignatureError as error:
        raise invalid("the token is not valid yet; compare the clocks of the issuer and of this server") from error
    except jwt.InvalidSignatureError:
        raise
    except jwt.InvalidTokenError as error:
        raise invalid("the token is not valid", f"{type(error).__name__}: {error}") from error
    return claims


def _expires_at_us(claims: Claims, entry: IssuerEntry) -> int:
    return (int(claims["exp"]) + entry.leeway_seconds) * _SECOND_US
