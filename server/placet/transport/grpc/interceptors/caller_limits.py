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
    from placet.transport.grpc.incoming import IncomingMessage
    from placet.transport.grpc.interceptors.base import Behavior, Handler, Method

_MS: Final = 1_000
_BATCH: Final = "AuthorizeBatch"
"""The method whose requests hold several actions."""


def _one() -> int:
    return 1


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
        self._per_second = requests_per_second
        self._rate = RateLimit(requests_per_second, monotonic) if requests_per_second else None
        self._streams_max = streams
        self._open: Counter[str] = Counter()
        self._on_shed = on_shed

    def count_request(self, caller: Caller, actions: Callable[[], int] = _one) -> None:
        """Count a request, or each action of a batch. RateLimitedError if the caller has sent too many.

        A batch that is larger than a burst is never let through: waiting does not help.
        """
        if self._rate is None:
            return
        count = actions()
        wait = self._rate.take(_key(caller), count)
        if not wait:
            return
        self._on_shed(ShedReason.CALLER_RATE, 1)
        if count > self._per_second:
            raise RateLimitedError(
                None,
                f"the batch has {count} actions, and the caller may send {self._per_second} in a second; send smaller "
                "batches, or ask for a larger caller_requests_per_second_max",
            )
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
    """Counts each request, a batch as its actions, and each stream of responses.

    Refuses what is beyond the limits of its caller.
    """

    def __init__(self, limits: CallerLimits) -> None:
        self._limits = limits

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior for requests within the limit."""
        is_batch = method.name == _BATCH

        async def call(incoming: IncomingMessage, context: Context) -> Any:  # noqa: ANN401 - a response of any method
            self._limits.count_request(current_caller(), incoming.actions if is_batch else _one)
            return await behavior(incoming, context)

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
    return caller.counted_as if caller.method else host_of(caller.peer)
