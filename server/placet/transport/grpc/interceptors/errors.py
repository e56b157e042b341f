"""Turns exceptions into statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from placet.kernel.errors import PlacetError
from placet.transport.grpc.errors import INTERNAL, abort, status_of
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.v1.authorization_pb2 import StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.transport.grpc.context import Context
    from placet.transport.grpc.incoming import IncomingRequest
    from placet.transport.grpc.interceptors.base import Behavior, Method


class ErrorInterceptor(CallInterceptor):
    """Ends a call that raises with a status, and answers a request of a stream with a status.

    `on_error` receives unexpected exceptions, whose text is never sent.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior with its exceptions mapped."""

        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - messages of any method
            try:
                return await behavior(request, context)
            except PlacetError as error:
                await abort(context, status_of(error, method.name))
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - logged in full, sent without its text
                self._on_error(error)
                await abort(context, INTERNAL)

        return call

    def intercept_streamed(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior that answers with a status, and does not end the stream."""

        async def call(incoming: IncomingRequest, context: Context) -> Any:  # noqa: ANN401 - as the other behavior
            try:
                return await behavior(incoming, context)
            except PlacetError as error:
                return StreamedResponse(id=incoming.id, error=status_of(error, method.name))
            except Exception as error:  # noqa: BLE001 - logged in full, sent without its text
                self._on_error(error)
                return StreamedResponse(id=incoming.id, error=INTERNAL)

        return call
