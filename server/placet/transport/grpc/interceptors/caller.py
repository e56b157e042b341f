"""The caller of each call, and the interceptor that sets it where callers are not authenticated."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.model import Caller
from placet.transport.grpc.interceptors.base import CallInterceptor

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from placet.identity.model import Principal
    from placet.kernel.model import UserProof
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.interceptors.base import Behavior, Method

_CALLER: Final[ContextVar[Caller]] = ContextVar("placet_caller")
_PRINCIPAL: Final[ContextVar[Principal | None]] = ContextVar("placet_principal", default=None)


_USER_PROOFS: Final[ContextVar[tuple[UserProof | None, ...]]] = ContextVar("placet_user_proofs", default=())


def current_caller() -> Caller:
    """Return the caller of the current call. LookupError outside a call."""
    return _CALLER.get()


def current_principal() -> Principal | None:
    """Return the authenticated caller of the current call; None if the server does not authenticate its callers."""
    return _PRINCIPAL.get()


def current_user_proofs() -> tuple[UserProof | None, ...]:
    """Return how the user of each request for a decision in the current call is known; () without authentication."""
    return _USER_PROOFS.get()


def set_user_proofs(proofs: tuple[UserProof | None, ...]) -> None:
    """Set how the user of each request for a decision in the current call is known."""
    _USER_PROOFS.set(proofs)


def set_caller(caller: Caller, principal: Principal | None = None) -> None:
    """Set the caller of the current call. Each call, and each request of a stream, has a task to itself."""
    _CALLER.set(caller)
    _PRINCIPAL.set(principal)


class CallerInterceptor(CallInterceptor):
    """Sets the caller to the address of the connection, where callers are not authenticated."""

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:  # noqa: ARG002 - the same for every method
        """Return the behavior, run with a caller."""

        def call(request: Any, context: Context) -> Awaitable[Any]:  # noqa: ANN401 - a request of any method
            set_caller(Caller(peer=context.peer()))
            return behavior(request, context)

        return call
