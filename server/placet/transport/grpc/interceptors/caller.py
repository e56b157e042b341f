"""Sets the caller of each call."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.model import Caller
from placet.transport.grpc.interceptors.base import CallInterceptor

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from placet.transport.grpc.context import Context
    from placet.transport.grpc.interceptors.base import Behavior, Method

_CALLER: Final[ContextVar[Caller]] = ContextVar("placet_caller")


def current_caller() -> Caller:
    """Return the caller of the current call. LookupError outside a call."""
    return _CALLER.get()


class CallerInterceptor(CallInterceptor):
    """Sets the caller to the address of the connection. There is no authentication yet."""

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:  # noqa: ARG002 - the same for every method
        """Return the behavior, run with a caller. Each call has a task, and so a context, to itself."""

        def call(request: Any, context: Context) -> Awaitable[Any]:  # noqa: ANN401 - a request of any method
            _CALLER.set(Caller(peer=context.peer()))
            return behavior(request, context)

        return call
