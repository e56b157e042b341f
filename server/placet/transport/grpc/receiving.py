"""Every method of the server reads its messages by the intake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from placet.kernel.errors import OverloadedError
from placet.transport.grpc.errors import no_message, turn_away

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from placet.transport.grpc.context import Context
    from placet.transport.grpc.intake import Intake, Message


class ReceivingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # no generic when it runs
    """Makes of each method one that reads for itself. On the wire they stay what they are."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(  # type: ignore[override] # gRPC takes None for a method that nobody has
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of the method; None when there is none."""
        name = handler_call_details.method
        if name not in self._methods:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._methods[name] = _Receiving(self._intake, handler).as_handler()
        return self._methods[name]


class _Receiving:
    """One method."""

    def __init__(self, intake: Intake, handler: Any) -> None:  # noqa: ANN401 - published without types
        self._intake = intake
        self._handler = handler
        self._parse = handler.request_deserializer or bytes

    def as_handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler for gRPC."""
        serialize = self._handler.response_serializer
        if self._handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._both_ways, None, serialize)
        if self._handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._streaming, None, serialize)
        return grpc.stream_unary_rpc_method_handler(self._unary, None, serialize)

    async def _unary(self, _: object, context: Context) -> Any:  # noqa: ANN401 - what the method answers
        try:
            async with self._intake.message(context) as message:
                return await self._handler.unary_unary(await self._parsed(message, context), context)
        except (OverloadedError, grpc.aio.AbortError) as error:
            await _end(context, error)

    async def _streaming(self, _: object, context: Context) -> None:
        try:
            async with self._intake.message(context) as message:
                await self._handler.unary_stream(await self._parsed(message, context), context)
        except (OverloadedError, grpc.aio.AbortError) as error:
            await _end(context, error)

    async def _both_ways(self, _: object, context: Context) -> None:
        try:
            async for reply in self._handler.stream_stream(self._requests(context), context):
                await context.write(reply)
        except (OverloadedError, grpc.aio.AbortError) as error:
            await _end(context, error)

    async def _requests(self, context: Context) -> AsyncIterator[Any]:
        while True:
            async with self._intake.message(context) as message:
                raw = message.take()
                if raw is None:
                    return
                yield self._parse(raw)

    async def _parsed(self, message: Message, context: Context) -> Any:  # noqa: ANN401 - a message of the method
        raw = message.take()
        if raw is None:
            await no_message(context)
        return self._parse(raw)


async def _end(context: Context, error: OverloadedError | grpc.aio.AbortError) -> NoReturn:
    """End the call, and let go of its frames: gRPC keeps the error, and that its frames with the message.

    The frames are not cleared: those of a batcher or another caller may be among them, and clearing a suspended one
    ends it.
    """
    held: BaseException | None = error
    while held is not None:
        held.__traceback__ = None
        held.__context__, held = None, held.__context__
    if isinstance(error, OverloadedError):
        await turn_away(context, error)
    raise error
