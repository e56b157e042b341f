"""Access tokens to protobuf messages, and back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from placet.sdk._wire.approvals import person_to_proto
from placet.sdk._wire.decode import time_from_proto
from placet.sdk._wire.fields import invalid, require_strings, set_fields
from placet.sdk.approvals import Person
from placet.sdk.tokens import AccessToken, CallerRole, TokenGrant, UserAssertion
from placet.v1 import person_pb2, token_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROLES: Final = {role: f"CALLER_ROLE_{role.name}" for role in CallerRole}
_ROLES_BY_NUMBER: Final = {token_pb2.CallerRole.Value(name): role for role, name in _ROLES.items()}
_ASSERTIONS: Final = {user: f"USER_ASSERTION_{user.name}" for user in UserAssertion}
_ASSERTIONS_BY_NUMBER: Final = {token_pb2.UserAssertion.Value(name): user for user, name in _ASSERTIONS.items()}


def create_request(
    name: str, grants: Sequence[TokenGrant], person: Person | None, actor: str, expires_after_seconds: int
) -> token_pb2.CreateTokenRequest:
    """Return the message. Raises InvalidRequestError."""
    message = token_pb2.CreateTokenRequest(
        actor=set_fields(person_pb2.Person(), "actor.", id=actor), person=person_to_proto("person", person)
    )
    message.grants.extend(_grant_to_proto(f"grants[{index}].", grant) for index, grant in enumerate(grants))
    return set_fields(message, "", name=name, expires_after_seconds=expires_after_seconds)


def revoke_request(
    tenant: str, actor: str, reason: str, *, token_id: str = "", digest: str = ""
) -> token_pb2.RevokeTokenRequest:
    """Return the message, which names the token by its id or by the SHA-256 of its text. Raises InvalidRequestError."""
    message = token_pb2.RevokeTokenRequest(actor=set_fields(person_pb2.Person(), "actor.", id=actor))
    return set_fields(message, "", token_id=token_id, tenant=tenant, reason=reason, text_sha256=digest)


def digest_of(secret: object) -> str:
    """Return the SHA-256 of a token's text. Raises InvalidRequestError."""
    if not isinstance(secret, str) or not secret:
        raise invalid(("secret", "must be the text of a token"))
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def access_token_from_proto(message: token_pb2.AccessToken) -> AccessToken:
    """Return the token. Roles that this version does not know are left out."""
    return AccessToken(
        id=message.id,
        name=message.name,
        person=Person(message.person.id, tuple(message.person.roles)) if message.HasField("person") else None,
        grants=tuple(_grant_from_proto(grant) for grant in message.grants if grant.role in _ROLES_BY_NUMBER),
        created_by=message.created_by,
        created_at=time_from_proto(message.created_at),
        expires_at=time_from_proto(message.expires_at),
        last_used_at=time_from_proto(message.last_used_at) if message.HasField("last_used_at") else None,
        expired=message.expired,
    )


def _grant_to_proto(prefix: str, grant: TokenGrant) -> token_pb2.TokenGrant:
    value: object = grant
    if not isinstance(value, TokenGrant) or value.role not in _ROLES or value.user not in _ASSERTIONS:
        raise invalid((prefix.rstrip("."), "must be a TokenGrant with a CallerRole and a UserAssertion"))
    user = None if grant.user is UserAssertion.NEVER else _ASSERTIONS[grant.user]
    tenants = require_strings(prefix + "tenants", grant.tenants)
    agents = require_strings(prefix + "agents", grant.agents)
    return token_pb2.TokenGrant(role=_ROLES[grant.role], user=user, tenants=tenants, agents=agents)


def _grant_from_proto(message: token_pb2.TokenGrant) -> TokenGrant:
    return TokenGrant(
        _ROLES_BY_NUMBER[message.role],
        tuple(message.tenants),
        tuple(message.agents),
        _ASSERTIONS_BY_NUMBER.get(message.user, UserAssertion.NEVER),
    )
