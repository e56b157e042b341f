"""Limits the requests and streams of each caller, so that one caller cannot take the server from others."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import grpc

from placet.kernel.errors import RateLimitedError
from placet.kernel.limits import RETRY_AFTER_MS
from placet.scheduling.rate_limit import RateLimit
from placet.transport.grpc.intake import ShedReason
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.interceptors.refused_access import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from placet.kernel.model import Caller
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.interceptors.base import Behavior, Handler, Method

_MS: Final = 1_000


class CallerLimits:
    """Counts the requests and the open streams of each caller. For one event loop. 0 means no limit.

    A caller that is not authenticated is the address of its connection.
    """

    def __init__(
        self,
        requests_per_second: int,
        streams: int,
        monotonic: Callable[[], float],
        on_shed: Callable[[str, int], None],
    ) -> None:
        self._rate = RateLimit(requests_per_second, monotonic) if requests_per_second else None
        self._streams_max = streams
        self._open: Counter[str] = Counter()
        self._on_shed = on_shed

    def count_request(self, caller: Caller) -> None:
        """Count a request. RateLimitedError if the caller has sent too many."""
        wait = self._rate.take(_key(caller)) if self._rate is not None else 0.0
        if wait:
            self._on_shed(ShedReason.CALLER_RATE, 1)
            raise RateLimitedError(math.ceil(wait * _MS), "the caller sends too many requests")

    @contextlib.contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """Count a stream for the duration of the block. RateLimitedError if the caller has too many open."""
        key = _key(caller)
        if self._streams_max and self._open[key] >= self._streams_max:
            self._on_shed(ShedReason.CALLER_STREAMS, 1)
            raise RateLimitedError(RETRY_AFTER_MS, f"the caller has {self._streams_max} open streams")
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


class CallerLimitInterceptor(CallInterceptor):
    """Counts each request, and each stream of responses. Refuses what is beyond the limits of its caller."""

    def __init__(self, limits: CallerLimits) -> None:
        self._limits = limits

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:  # noqa: ARG002 - the same for every method
        """Return the behavior for requests within the limit."""

        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - messages of any method
            self._limits.count_request(current_caller())
            return await behavior(request, context)

        return call

    def wrap(self, handler: Any, method: Method) -> Handler:  # noqa: ANN401 - published without types
        """Return the handler with its behavior wrapped. A stream of responses counts while it is open."""
        if handler.request_streaming or not handler.response_streaming:
            return super().wrap(handler, method)
        write_responses = handler.unary_stream

        async def stream(request: Any, context: Context) -> None:  # noqa: ANN401 - a request of any method
            with self._limits.stream(current_caller()):
                await write_responses(request, context)

        behavior = self.intercept(stream, method)
        return grpc.unary_stream_rpc_method_handler(behavior, handler.request_deserializer, handler.response_serializer)


def _key(caller: Caller) -> str:
    return caller.name if caller.method else host_of(caller.peer)
