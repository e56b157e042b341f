# Generated from server/placet/sdk/_async/base.py by deploy/tools/sync_sdk.py. Do not edit.
"""Base class of the clients for code that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from placet.sdk._sync.channel import Channel
from placet.sdk._transport.bearer import Bearer
from placet.sdk._transport.options import validate_timeout
from placet.sdk.defaults import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    import grpc

    from placet.sdk._transport.bearer import Token


class BaseClient:
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
        self._channel = Channel(address, credentials, Bearer(token, allow_plaintext=allow_plaintext_token))

    def close(self) -> None:
        """Close the connection. Later calls fail. Closing a client twice has no effect."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
