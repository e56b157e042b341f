"""Reads the messages of every method through the intake."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from placet.kernel.errors import OverloadedError, PlacetError
from placet.kernel.model import Caller
from placet.transport.grpc.errors import INTERNAL, NO_MESSAGE, abort, status_of
from placet.transport.grpc.interceptors.authentication import credentials_of
from placet.transport.grpc.request_stream import RequestStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from placet.transport.grpc.context import Context
    from placet.transport.grpc.incoming import IncomingMessage
    from placet.transport.grpc.intake import Intake
    from placet.transport.grpc.interceptors.base import Handler
    from placet.transport.grpc.interceptors.caller_limits import CallerLimits
    from placet.transport.grpc.interceptors.open_streams import OpenStreams


class IntakeInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # no generic when it runs
    """Makes each method read its messages through the intake. Must be the outermost interceptor.

    `on_error` receives unexpected exceptions of streams; those of single requests do not reach this interceptor. gRPC
    calls `intercept_service` for each call. This interceptor caches the handler of each method, so the other
    interceptors wrap a method once.
    """

    def __init__(
        self,
        intake: Intake,
        on_error: Callable[[BaseException], None],
        streams: OpenStreams | None = None,
        limits: CallerLimits | None = None,
    ) -> None:
        """`streams` checks the callers of streams of requests; None if callers are not authenticated.

        `limits` bounds how many each of them has open; None for no bound.
        """
        self._limits = limits
        self._intake = intake
        self._on_error = on_error
        self._streams = streams
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(  # type: ignore[override] # gRPC takes None for an unknown method
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the handler of the method; None if there is no such method."""
        path = handler_call_details.method
        if path not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._handlers[path] = _IntakeHandler(
                self._intake, handler, self._on_error, self._streams, self._limits
            ).as_handler()
        return self._handlers[path]


class _IntakeHandler:
    """One method, as a method with streaming requests: only those read their messages themselves."""

    def __init__(
        self,
        intake: Intake,
        handler: Any,  # noqa: ANN401 - published without types
        on_error: Callable[[BaseException], None],
        streams: OpenStreams | None,
        limits: CallerLimits | None,
    ) -> None:
        self._intake = intake
        self._limits = limits
        self._on_error = on_error
        self._streams = streams
        self._handler = handler
        self._deserialize = handler.request_deserializer

    def as_handler(self) -> Handler:
        """Return the handler for gRPC."""
        serialize = self._handler.response_serializer
        if self._handler.request_streaming:
            behavior = self._stream_stream if self._deserialize is not None else self._request_stream
            return grpc.stream_stream_rpc_method_handler(behavior, None, serialize)
        if self._handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._unary_stream, None, serialize)
        return grpc.stream_unary_rpc_method_handler(self._unary_unary, None, serialize)

    async def _unary_unary(self, _: object, context: Context) -> Any:  # noqa: ANN401 - a response of any method
        try:
            async with self._intake.message(context) as message:
                return await self._handler.unary_unary(await self._request(message, context), context)
        except (OverloadedError, grpc.aio.AbortError) as error:
            await _end(context, error)

    async def _unary_stream(self, _: object, context: Context) -> None:
        try:
            async with self._intake.message(context) as message:
                await self._handler.unary_stream(await self._request(message, context), context)
        except (OverloadedError, grpc.aio.AbortError) as error:
            await _end(context, error)

    async def _stream_stream(self, _: object, context: Context) -> None:
        try:
            async for response in self._handler.stream_stream(self._requests(context), context):
                await context.write(response)
        except (OverloadedError, grpc.aio.AbortError) as error:
            await _end(context, error)

    async def _request_stream(self, _: object, context: Context) -> None:
        stream = RequestStream(self._handler.stream_stream, context, self._intake)
        try:
            if self._streams is None and self._limits is None:
                await stream.run()
                return
            credentials = credentials_of(context)
            caller = Caller(peer=credentials.peer)
            with contextlib.ExitStack() as stack:
                if self._streams is not None:
                    caller = await self._streams.authenticate(credentials)
                if self._limits is not None:
                    stack.enter_context(self._limits.stream(caller))
                if self._streams is not None:
                    stream.recheck = stack.enter_context(self._streams.checked(credentials, stream.refuse))
                await stream.run()
        except PlacetError as error:
            await _end(context, error)
        except Exception as error:  # noqa: BLE001 - logged in full, sent without its text
            self._on_error(error)
            await abort(context, INTERNAL)

    async def _requests(self, context: Context) -> AsyncIterator[Any]:
        while True:
            async with self._intake.message(context) as message:
                if not message.is_present:
                    return
                yield self._deserialize(message.take())

    async def _request(self, message: IncomingMessage, context: Context) -> Any:  # noqa: ANN401 - as the handler takes it
        """Return what the handler takes: the message as it was read if the handler has no deserializer."""
        if not message.is_present:
            await abort(context, NO_MESSAGE)
        return message if self._deserialize is None else self._deserialize(message.take())


async def _end(context: Context, error: PlacetError | grpc.aio.AbortError) -> NoReturn:
    """End the call, and release its frames: gRPC keeps the error, and a traceback would keep frames and message.

    The frames are not cleared: those of a batcher or of another call may be among them, and clearing a suspended frame
    ends it.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link.__context__, link = None, link.__context__
    if not isinstance(error, grpc.aio.AbortError):
        await abort(context, status_of(error))
    raise error
