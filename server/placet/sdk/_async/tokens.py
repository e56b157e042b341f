"""The client of admins, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk._async.base import AsyncBaseClient
from placet.sdk._wire import methods
from placet.sdk._wire.fields import set_fields
from placet.sdk._wire.tokens import access_token_from_proto, create_request, digest_of, revoke_request
from placet.sdk.tokens import AccessToken, CreatedToken
from placet.v1 import token_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.sdk.approvals import Person
    from placet.sdk.tokens import TokenGrant


class AsyncTokenClient(AsyncBaseClient):
    """Client of an admin: creates, lists and revokes access tokens.

    ::

        from placet.sdk import AsyncTokenClient, CallerRole, TokenGrant

        async with AsyncTokenClient("127.0.0.1:7070", token=admin_token) as tokens:
            grant = TokenGrant(CallerRole.AGENT_RUNTIME, ["acme"], agents=["support-*"])
            created = await tokens.create("support runtime", [grant])

    Safe to use from several event loops.

    Args:
        address: Address of the server, ``host:port`` or ``unix:/path``.
        timeout: Default timeout of a call in seconds, more than 0 and at most 300.
        credentials: Credentials of a TLS connection, see `tls_credentials`. None takes them from the variables
            PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE; without them there is no TLS.
        token: Token of the caller, an access token or a JWT; or a function that returns the current one. It is called
            for each call, and must return at once. None takes the token from the variable PLACET_TOKEN, if that is set.
        allow_plaintext_token: True to send the token without TLS beyond this host, where something else encrypts.

    Each method raises CallFailedError if the call fails, and InvalidRequestError if an argument is invalid. A call that
    changes something is sent once; if there is no response, the change may have been made.
    """

    async def create(
        self,
        name: str,
        grants: Sequence[TokenGrant],
        *,
        person: Person | None = None,
        expires_after_seconds: int = 0,
        actor: str = "",
    ) -> CreatedToken:
        """Create an access token. When this method returns, every replica accepts it.

        `name` says what the token is for; tokens of the same name for the same tenants are credentials of one program.
        With `person` it is the credential of that person instead. It expires after `expires_after_seconds`, at most
        31,536,000; 0 means 90 days. `actor` is the person who creates it, empty where the caller's own token says so.
        """
        request = create_request(name, grants, person, actor, expires_after_seconds)
        parse = token_pb2.CreateTokenResponse.FromString
        response = await self._channel.change(methods.CREATE_TOKEN, request, parse, self._timeout)
        return CreatedToken(access_token_from_proto(response.token), response.secret)

    async def list(self, tenant: str = "") -> tuple[AccessToken, ...]:
        """Return the tokens of which every grant names this tenant alone, newest first; all for an empty `tenant`."""
        request = set_fields(token_pb2.ListTokensRequest(), "", tenant=tenant)
        parse = token_pb2.ListTokensResponse.FromString
        response = await self._channel.read(methods.LIST_TOKENS, request, parse, self._timeout)
        return tuple(map(access_token_from_proto, response.tokens))

    async def revoke(self, token_id: str, *, reason: str, tenant: str = "", actor: str = "") -> AccessToken:
        """Revoke a token. When this method returns, no replica answers a call that presents it.

        With `tenant`, only a token is found of which every grant names this tenant alone.
        """
        return await self._revoke(revoke_request(tenant, actor, reason, token_id=token_id))

    async def revoke_text(self, secret: str, *, reason: str, tenant: str = "", actor: str = "") -> AccessToken:
        """Revoke the token with this text, such as one that leaked and whose id is not known. Otherwise as `revoke`.

        Only the SHA-256 of the text is sent.
        """
        return await self._revoke(revoke_request(tenant, actor, reason, digest=digest_of(secret)))

    async def _revoke(self, request: token_pb2.RevokeTokenRequest) -> AccessToken:
        parse = token_pb2.RevokeTokenResponse.FromString
        response = await self._channel.change(methods.REVOKE_TOKEN, request, parse, self._timeout)
        return access_token_from_proto(response.token)
