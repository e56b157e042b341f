"""Turns the bytes of a call into its request message."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from placet.kernel.errors import InvalidRequestError
from placet.transport.grpc.deserialization import MALFORMED, deserialized
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.v1.authorization_pb2 import StreamedRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from placet.transport.grpc.context import Context
    from placet.transport.grpc.incoming import IncomingMessage, IncomingRequest
    from placet.transport.grpc.interceptors.base import Behavior, Handler, Method


class DeserializationInterceptor(CallInterceptor):
    """Deserializes requests in slices, in place of gRPC. InvalidRequestError if the bytes are not a valid message.

    gRPC would answer malformed bytes with INTERNAL, and a large message would hold the event loop. So the handler that
    is returned has no deserializer; its behavior takes the `IncomingMessage`.
    """

    def wrap(self, handler: Any, method: Method) -> Handler:  # noqa: ANN401 - published without types
        """Return a handler that takes the message as it was read."""
        if handler.request_streaming:
            behavior = self.intercept_streamed(handler.stream_stream, method)
            return grpc.stream_stream_rpc_method_handler(behavior, None, None)
        if handler.response_streaming:
            behavior = self.intercept(_writing(handler.unary_stream), method)
            return grpc.unary_stream_rpc_method_handler(behavior, None, handler.response_serializer)
        behavior = self.intercept(handler.unary_unary, method)
        return grpc.unary_unary_rpc_method_handler(behavior, None, handler.response_serializer)

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior for an `IncomingMessage`."""
        request_type = _request_type(method)

        async def call(incoming: IncomingMessage, context: Context) -> Any:  # noqa: ANN401 - a response of any method
            try:
                request = await deserialized(request_type, incoming.take())
            except DecodeError as error:
                raise InvalidRequestError(MALFORMED) from error
            incoming.request = request
            return await behavior(request, context)

        return call

    def intercept_streamed(self, behavior: Behavior, method: Method) -> Behavior:  # noqa: ARG002 - there is one
        """Return the behavior for an `IncomingRequest`."""

        async def call(incoming: IncomingRequest, context: Context) -> Any:  # noqa: ANN401 - as the other behavior
            if incoming.error is not None:
                raise incoming.error
            if incoming.request is None:
                try:
                    incoming.request = await deserialized(StreamedRequest, incoming.take())
                except DecodeError as error:
                    raise InvalidRequestError(MALFORMED) from error
            incoming.require_valid_id()
            return await behavior(incoming.request, context)

        return call


def _request_type(method: Method) -> type[Message]:
    descriptor = Default().FindMethodByName(f"{method.service}.{method.name}")
    request_type: type[Message] = GetMessageClass(descriptor.input_type)
    return request_type


def _writing(stream: Callable[[Any, Context], AsyncGenerator[Message]]) -> Behavior:
    """Return a behavior that writes the responses of a stream, and closes the stream however the call ends."""

    async def call(request: Message, context: Context) -> None:
        async with aclosing(stream(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return call
