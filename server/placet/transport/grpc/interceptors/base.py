"""The base class of interceptors that wrap Placet's own calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc

from placet.transport.grpc.context import Context
from placet.v1 import authorization_pb2

PACKAGE: Final = authorization_pb2.DESCRIPTOR.package
Behavior: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
"""Answers one call, or one request of a stream. Takes the request and the context; returns the response, or None if it
writes the responses itself."""
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service, such as ``placet.v1.AuthorizationService`` and ``Authorize``."""

    service: str
    name: str

    @classmethod
    def of_path(cls, path: str) -> Method:
        """Return the method that the path of a call names, such as ``/placet.v1.AuthorizationService/Authorize``."""
        service, _, name = path.removeprefix("/").partition("/")
        return cls(service, name)


class CallInterceptor(grpc.aio.ServerInterceptor, ABC):  # type: ignore[type-arg] # no generic when it runs
    """Wraps the behavior of each of Placet's methods. Methods of health and reflection pass unchanged.

    `intercept` runs once for each method, not for each call: the outermost interceptor caches the wrapped handler. Read
    what belongs to one call, such as its metadata, from the context within the returned behavior.
    """

    @abstractmethod
    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior to run instead of `behavior`."""

    def intercept_streamed(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior to run for each request of a stream, by default that for the request of another call."""
        return self.intercept(behavior, method)

    async def intercept_service(  # type: ignore[override] # gRPC takes None for an unknown method
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the wrapped handler of the method; None if there is no such method."""
        handler = await continuation(handler_call_details)
        method = Method.of_path(handler_call_details.method)
        if handler is None or not method.service.startswith(f"{PACKAGE}."):
            return handler  # type: ignore[no-any-return] # published without types
        return self.wrap(handler, method)

    def wrap(self, handler: Any, method: Method) -> Handler:  # noqa: ANN401 - published without types
        """Return the handler with its behavior wrapped."""
        if handler.request_streaming:
            behavior = self.intercept_streamed(handler.stream_stream, method)
            return grpc.stream_stream_rpc_method_handler(behavior, None, None)
        make = grpc.unary_unary_rpc_method_handler
        if handler.response_streaming:
            make = grpc.unary_stream_rpc_method_handler
        behavior = self.intercept(handler.unary_stream or handler.unary_unary, method)
        return make(behavior, handler.request_deserializer, handler.response_serializer)
