"""Authenticates the caller of each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc

from placet.identity.ports import Credentials
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.model import Caller
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.transport.grpc.interceptors.caller import set_caller

if TYPE_CHECKING:
    from placet.identity.ports import Authenticator
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.interceptors.base import Behavior, Handler, Method
    from placet.transport.grpc.interceptors.open_streams import OpenStreams

_HEADER: Final = "authorization"
_REVOKES: Final = "RevokeToken"
"""Its answer is given although it may have revoked the caller's own token: it says that it did."""


class AuthenticationInterceptor(CallInterceptor):
    """Sets the caller to whom its credentials prove, or raises UnauthenticatedError.

    Each request of a stream is authenticated anew, so that it fails once the credential has ended or is revoked. An
    answer is given only while the credential is not revoked.
    """

    def __init__(self, authenticator: Authenticator, streams: OpenStreams) -> None:
        self._authenticator = authenticator
        self._streams = streams

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior, run with an authenticated caller."""
        revokes = method.name == _REVOKES

        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - messages of any method
            set_caller(Caller(peer=context.peer()))  # for the record of a call that fails here
            try:
                principal = await self._authenticator.authenticate(credentials_of(context))
            except UnauthenticatedError as error:
                request.discard()  # the answer may be delayed, and must hold no memory while it waits
                await self._streams.guesses.after(error, context.peer())
                raise
            set_caller(principal.caller, principal)
            response = await behavior(request, context)
            if principal.token_id and not revokes:
                await self._authenticator.require_current(principal)
            return response

        return call

    def wrap(self, handler: Any, method: Method) -> Handler:  # noqa: ANN401 - published without types
        """Return the handler with its behavior wrapped. A stream of responses ends with its credential."""
        if handler.request_streaming or not handler.response_streaming:
            return super().wrap(handler, method)
        write_responses = handler.unary_stream

        async def stream(request: Any, context: Context) -> None:  # noqa: ANN401 - a request of any method
            with self._streams.cancelling(credentials_of(context)):
                await write_responses(request, context)

        behavior = self.intercept(stream, method)
        return grpc.unary_stream_rpc_method_handler(behavior, handler.request_deserializer, handler.response_serializer)


def credentials_of(context: Context) -> Credentials:
    """Return what the caller presents. Metadata of the wrong type counts as a value that proves nothing."""
    presented = tuple(
        value if isinstance(value, str) else "" for key, value in context.invocation_metadata() or () if key == _HEADER
    )
    certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
    return Credentials(presented, certificate, context.peer())
