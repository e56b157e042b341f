"""Authenticates the caller of each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.identity.ports import Credentials
from placet.kernel.model import Caller
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.transport.grpc.interceptors.caller import set_caller

if TYPE_CHECKING:
    from placet.identity.ports import Authenticator
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.interceptors.base import Behavior, Method

_HEADER: Final = "authorization"


class AuthenticationInterceptor(CallInterceptor):
    """Sets the caller to whom its credentials prove, or raises UnauthenticatedError.

    Each request of a stream is authenticated anew, so that it fails once the credential has ended or is revoked.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:  # noqa: ARG002 - the same for every method
        """Return the behavior, run with an authenticated caller."""

        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - messages of any method
            set_caller(Caller(peer=context.peer()))  # for the record of a call that fails here
            principal = await self._authenticator.authenticate(credentials_of(context))
            set_caller(principal.caller, principal)
            return await behavior(request, context)

        return call


def credentials_of(context: Context) -> Credentials:
    """Return what the caller presents. Metadata of the wrong type counts as a value that proves nothing."""
    presented = tuple(
        value if isinstance(value, str) else "" for key, value in context.invocation_metadata() or () if key == _HEADER
    )
    certificate = next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
    return Credentials(presented, certificate, context.peer())
