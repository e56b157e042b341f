"""The interceptors of the server, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.transport.grpc.interceptors.access import AccessInterceptor
from placet.transport.grpc.interceptors.authentication import AuthenticationInterceptor
from placet.transport.grpc.interceptors.caller import CallerInterceptor
from placet.transport.grpc.interceptors.caller_limits import CallerLimitInterceptor
from placet.transport.grpc.interceptors.deserialization import DeserializationInterceptor
from placet.transport.grpc.interceptors.errors import ErrorInterceptor
from placet.transport.grpc.interceptors.intake import IntakeInterceptor
from placet.transport.grpc.interceptors.invalid_requests import InvalidRequestInterceptor
from placet.transport.grpc.interceptors.open_streams import OpenStreams
from placet.transport.grpc.interceptors.refused_access import RefusedAccessInterceptor

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.identity.ports import Authenticator
    from placet.transport.grpc.intake import Intake
    from placet.transport.grpc.interceptors.caller_limits import CallerLimits
    from placet.transport.grpc.interceptors.invalid_requests import InvalidRequestRecorder
    from placet.transport.grpc.interceptors.refused_access import RefusedAccessRecorder


def interceptor_chain(
    intake: Intake,
    recorder: InvalidRequestRecorder,
    on_error: Callable[[BaseException], None],
    authenticator: Authenticator | None = None,
    refusals: RefusedAccessRecorder | None = None,
    limits: CallerLimits | None = None,
) -> list[grpc.aio.ServerInterceptor]:  # type: ignore[type-arg] # no generic when it runs
    """Return the interceptors, outermost first. `on_error` receives unexpected exceptions.

    Without an `authenticator` callers are not authenticated, and may make every call. Without `limits` each of them may
    send as much as it likes.

    A request passes them from top to bottom, its response or error from bottom to top.
    """
    streams = OpenStreams(authenticator, refusals) if authenticator is not None else None
    return [
        # Waits for a place to read, reads the bytes, holds them against the memory bound. Caches the handlers below.
        # A stream is read and answered here; each of its requests passes the interceptors below as a call does.
        IntakeInterceptor(intake, on_error, streams, limits),
        # Tracing goes here: a span around everything that the call does, with the status that the caller receives.
        # Turns exceptions into statuses with google.rpc error details.
        ErrorInterceptor(on_error),
        # Records a call that its caller may not make, or whose caller proves nothing.
        *([] if refusals is None else [RefusedAccessInterceptor(refusals)]),
        # Sets the caller, for `current_caller()` and `current_principal()`.
        AuthenticationInterceptor(authenticator, streams)
        if authenticator is not None and streams is not None
        else CallerInterceptor(),
        # Refuses a request or a stream beyond the limits of its caller.
        *([] if limits is None else [CallerLimitInterceptor(limits)]),
        # Records a request that breaks the contract, whether its bytes or its fields are wrong.
        InvalidRequestInterceptor(recorder),
        # Turns the bytes into the request message. Writes the responses of a stream.
        DeserializationInterceptor(),
        # Refuses what the caller may not call, and sets the person and the user that the caller may name.
        *([] if authenticator is None else [AccessInterceptor(authenticator)]),
    ]
