"""Servers that accept access tokens, and callers that present them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from placet.identity.model import Grant, Role, UserAssertion
from placet.server.callers.tokens import tokens_without_server
from placet.tokens.model import NewToken
from placet.v1 import token_pb2
from tests.serving import settings
from tests.transport.wire import Wire, request

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

    from placet.server.settings.model import Settings
    from placet.v1 import authorization_pb2

SERVICE = "/placet.v1.TokenService/"
RUNTIME = Grant(Role.AGENT_RUNTIME, frozenset({"acme"}), ("support-*",), UserAssertion.TRUSTED)
ADMIN = Grant(Role.ADMIN, frozenset({"*"}))
BY: dict[str, Any] = {"reason": "a test"}


def token_settings(folder: Path, **changes: Any) -> Settings:
    """Return the settings of a server that accepts access tokens alone."""
    folder.mkdir(exist_ok=True)
    file = folder / "auth.toml"
    file.write_text('accept = ["token"]\n')
    return settings(folder, auth_file=str(file), **changes)


def created(chosen: Settings, *grants: Grant, name: str = "ci", **more: Any) -> tuple[str, str]:
    """Create a token while no server runs. Return its text and its id."""

    async def create() -> tuple[str, str]:
        async with tokens_without_server(chosen, _raise) as tokens:
            text, token = await tokens.create(NewToken(name, grants, **more), "ann")
            return text, token.token_id

    return asyncio.run(create())


def _raise(error: BaseException) -> None:
    raise error


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call with the token."""
    return (("authorization", f"Bearer {token}"),)


def wire_grant(role: str, *tenants: str, agents: tuple[str, ...] = (), **more: Any) -> token_pb2.TokenGrant:
    """Return the message of a grant."""
    return token_pb2.TokenGrant(role=f"CALLER_ROLE_{role}", tenants=tenants, agents=agents, **more)


class TokenCaller:
    """Calls a server with one token."""

    def __init__(self, address: str, token: str) -> None:
        self.token = token
        self._wire = Wire(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def authorize(self, message: authorization_pb2.AuthorizeRequest | None = None) -> Any:
        """Return a decision. Refusal if there is none."""
        return self._wire.authorize(message or request(), *bearer(self.token))

    def call(self, method: str, message: Message) -> bytes:
        """Return the bytes of the answer. Refusal if there is none."""
        return self._wire.raw(method, message.SerializeToString(), bearer(self.token))

    def create(self, name: str, *grants: token_pb2.TokenGrant, **more: Any) -> token_pb2.CreateTokenResponse:
        """Create a token."""
        asked = token_pb2.CreateTokenRequest(name=name, grants=grants, **more)
        return token_pb2.CreateTokenResponse.FromString(self.call(SERVICE + "CreateToken", asked))

    def revoke(self, token_id: str, **more: Any) -> token_pb2.AccessToken:
        """Revoke a token."""
        asked = token_pb2.RevokeTokenRequest(token_id=token_id, **{**BY, **more})
        return token_pb2.RevokeTokenResponse.FromString(self.call(SERVICE + "RevokeToken", asked)).token

    def listed(self, tenant: str = "") -> list[token_pb2.AccessToken]:
        """Return the tokens."""
        raw = self.call(SERVICE + "ListTokens", token_pb2.ListTokensRequest(tenant=tenant))
        return list(token_pb2.ListTokensResponse.FromString(raw).tokens)
