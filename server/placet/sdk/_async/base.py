"""Base class of the clients for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from placet.sdk._async.channel import AsyncChannel
from placet.sdk._transport.bearer import Bearer
from placet.sdk._transport.options import validate_timeout
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    import grpc

    from placet.sdk._transport.bearer import Token


class AsyncBaseClient:
    """A connection to one server, and the default timeout of its calls."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        allow_plaintext_token: bool = False,
    ) -> None:
        self._timeout = validate_timeout(timeout)
        self._channel = AsyncChannel(address, credentials, Bearer(token, allow_plaintext=allow_plaintext_token))

    async def close(self) -> None:
        """Close the connection. Later calls fail. Closing a client twice has no effect."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
