"""Converts the messages of TokenService."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.identity.model import Grant, Role, UserAssertion
from placet.tokens.model import NewToken
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.to_proto import optional_timestamp, timestamp
from placet.transport.grpc.messages.validation import is_sha256
from placet.v1 import person_pb2, token_pb2

if TYPE_CHECKING:
    from placet.tokens.service import Listed
    from placet.transport.grpc.messages.validation import RequestValidator

ROLES: Final = enum_codec(Role, token_pb2.CallerRole)
ASSERTIONS: Final = enum_codec(UserAssertion, token_pb2.UserAssertion)


def new_token_of(validator: RequestValidator, request: token_pb2.CreateTokenRequest) -> NewToken:
    """Return the request. Notes what cannot be converted; the rest is checked by `placet.tokens.checks`."""
    grants = []
    for index, message in enumerate(request.grants):
        role = ROLES.from_wire.get(message.role)
        if role is None:
            validator.violation(f"grants[{index}].role", "is required; set one of CallerRole")
            continue
        user = ASSERTIONS.from_wire.get(message.user, UserAssertion.NEVER)
        grants.append(Grant(role, frozenset(message.tenants), tuple(message.agents), user))
    return NewToken(
        request.name,
        tuple(grants),
        request.person.id.strip(),
        tuple(request.person.roles),
        request.expires_after_seconds,
    )


def digest_of_text(validator: RequestValidator, request: token_pb2.RevokeTokenRequest) -> str:
    """Return the SHA-256 that names the token in place of an id; empty for none."""
    if request.text_sha256 and not is_sha256(request.text_sha256):
        validator.violation("text_sha256", "must be the SHA-256 of the token's text: 64 lower-case hex digits")
    if request.text_sha256 and request.token_id:
        validator.violation("text_sha256", "names a token beside token_id; send one of the two")
    return request.text_sha256


def access_token_to_proto(listed: Listed, now_us: int) -> token_pb2.AccessToken:
    """Return the message of a token. Its hash stays here."""
    token = listed.token
    return token_pb2.AccessToken(
        id=token.token_id,
        name=token.name,
        person=person_pb2.Person(id=token.person, roles=token.person_roles) if token.person else None,
        grants=[_grant_to_proto(grant) for grant in token.grants],
        created_by=token.created_by,
        created_at=timestamp(token.created_at_us),
        expires_at=timestamp(token.expires_at_us),
        last_used_at=optional_timestamp(listed.used_at_us),
        expired=token.expired(now_us),
    )


def _grant_to_proto(grant: Grant) -> token_pb2.TokenGrant:
    is_runtime = grant.role is Role.AGENT_RUNTIME
    return token_pb2.TokenGrant(
        role=ROLES.to_wire[grant.role],
        tenants=sorted(grant.tenants),
        agents=grant.agents,
        user=ASSERTIONS.to_wire[grant.user] if is_runtime else token_pb2.USER_ASSERTION_UNSPECIFIED,
    )
