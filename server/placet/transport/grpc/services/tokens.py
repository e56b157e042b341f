"""The servicer of placet.v1.TokenService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.kernel.errors import FailedPreconditionError
from placet.kernel.limits import SHORT_LABEL_BYTES_MAX
from placet.kernel.reasons import AUTHENTICATION_OFF, REFUSALS
from placet.tokens.service import Listed
from placet.transport.grpc.interceptors.caller import current_caller, current_principal
from placet.transport.grpc.messages.controls import actor_of, reason_of
from placet.transport.grpc.messages.tokens import access_token_to_proto, digest_of_text, new_token_of
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import token_pb2, token_pb2_grpc

if TYPE_CHECKING:
    from placet.kernel.clock import Clock
    from placet.tokens.service import Tokens
    from placet.transport.grpc.context import Context


@dataclass(frozen=True)
class TokenServicer(token_pb2_grpc.TokenServiceServicer):
    """Creates, lists and revokes access tokens."""

    tokens: Tokens
    clock: Clock

    async def CreateToken(
        self, request: token_pb2.CreateTokenRequest, _context: Context
    ) -> token_pb2.CreateTokenResponse:
        """Create a token. Refused on a server without authentication: anyone could make one for later."""
        validator = RequestValidator()
        new, actor = new_token_of(validator, request), actor_of(validator, request.actor)
        validator.require_valid()
        if current_principal() is None:
            raise FailedPreconditionError(AUTHENTICATION_OFF, REFUSALS[AUTHENTICATION_OFF])
        secret, token = await self.tokens.create(new, actor, current_caller())
        message = access_token_to_proto(Listed(token, 0), self.clock.wall_us())
        return token_pb2.CreateTokenResponse(token=message, secret=secret)

    async def ListTokens(self, request: token_pb2.ListTokensRequest, _context: Context) -> token_pb2.ListTokensResponse:
        """List tokens."""
        validator = RequestValidator()
        tenant = validator.optional_tenant("tenant", request.tenant)
        validator.require_valid()
        now_us = self.clock.wall_us()
        tokens = [access_token_to_proto(listed, now_us) for listed in await self.tokens.list(tenant)]
        return token_pb2.ListTokensResponse(tokens=tokens)

    async def RevokeToken(
        self, request: token_pb2.RevokeTokenRequest, _context: Context
    ) -> token_pb2.RevokeTokenResponse:
        """Revoke a token."""
        validator = RequestValidator()
        digest = digest_of_text(validator, request)
        token_id = validator.text("token_id", request.token_id, SHORT_LABEL_BYTES_MAX, required=not digest)
        tenant = validator.optional_tenant("tenant", request.tenant)
        actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
        validator.require_valid()
        token_id = token_id or await self.tokens.id_of(digest, tenant)
        token = await self.tokens.revoke(token_id, tenant, actor, reason, current_caller())
        return token_pb2.RevokeTokenResponse(token=access_token_to_proto(Listed(token, 0), self.clock.wall_us()))
