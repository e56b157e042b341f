"""The Python calls of one Authorize, alone: through the interceptors of a server, with SQLite, without gRPC and OPA.

`python -m tests.bench.calls_per_unary` prints calls and microseconds of CPU time, and the functions that are called
most.
"""

from __future__ import annotations

import collections
import functools
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.json_format import ParseDict

from placet.transport.grpc.intake import Intake
from placet.transport.grpc.interceptors.chain import interceptor_chain
from placet.transport.grpc.registration import GenericRegistration
from placet.v1 import authorization_pb2, authorization_pb2_grpc
from tests.bench.calls_per_action import Context, deciding
from tests.bench.load import REQUEST
from tests.bench.profiling import Counter, cpu_ns, profile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import FrameType

    from tests.bench.profiling import Authorize

ROUNDS: Final = 600
WARM: Final = 3
_PATH: Final = "/placet.v1.AuthorizationService/Authorize"


class _Details:
    """What gRPC knows of a call before its message."""

    method = _PATH
    invocation_metadata = ()


class _Call(Context):
    """The context of a call that sends one message."""

    def __init__(self, message: bytes) -> None:
        self._message = message

    async def read(self) -> bytes:
        return self._message


class _Server:
    """Stands for gRPC's server: takes the handlers."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        self.handlers += handlers


@asynccontextmanager
async def _authorizing(folder: Path) -> AsyncIterator[Authorize]:
    """Yield Authorize as a function of bytes, as gRPC calls it."""
    async with deciding(folder) as decision_path:
        server, unused = cast("Any", _Server()), cast("Any", None)
        servicer = decision_path.servicer
        authorization_pb2_grpc.add_AuthorizationServiceServicer_to_server(servicer, GenericRegistration(server))
        intake = Intake(decision_path.observer.shed)

        async def find(details: _Details) -> object:
            return server.handlers[0].service(details)

        lookup: Any = find
        for interceptor in reversed(interceptor_chain(intake, unused, decision_path.observer.error)):
            lookup = functools.partial(interceptor.intercept_service, lookup)

        async def authorize(request: bytes) -> bytes:
            handler = await lookup(_Details())
            response = await handler.stream_unary(None, _Call(request))
            content: bytes = handler.response_serializer(response)
            return content

        yield authorize


def _request(number: int) -> bytes:
    """Return a request as bytes. `number` makes its idempotency key unique."""
    message = {**REQUEST, "idempotency_key": f"unary-{number}"}
    return ParseDict(message, authorization_pb2.AuthorizeRequest()).SerializeToString()


def calls_per_unary() -> int:
    """Return the calls of Python and C functions of one Authorize, in the event loop and the store's thread.

    The same for each run of the same code, give or take one call.
    """
    counter = Counter()
    _profile(counter)
    return counter.calls


def most_called(count: int) -> list[tuple[str, int]]:
    """Return the functions that one Authorize calls most, with the number of calls."""
    active, calls = Counter(), collections.Counter[str]()

    def count_function(frame: FrameType, event: str, argument: object) -> None:
        if active.active and event == "call":
            calls[f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_qualname}"] += 1
        elif active.active and event == "c_call":
            calls[f"C {getattr(argument, '__qualname__', argument)}"] += 1

    _profile(active, count_function)
    return calls.most_common(count)


def _profile(counter: Counter, profiler: Any = None) -> None:
    *warm_up, counted = [_request(number) for number in range(WARM + 1)]
    profile(_authorizing, warm_up, counted, counter, profiler)


def cpu_us_per_unary(rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the least and the median CPU time of one Authorize, in microseconds."""
    taken = sorted(cpu_ns(_authorizing, [_request(number) for number in range(rounds)]))
    return taken[0] / 1_000, taken[len(taken) // 2] / 1_000


def main() -> None:
    """Print the cost of one Authorize."""
    for name, count in most_called(400):
        print(f"{count:5} {name}")
    least, median = cpu_us_per_unary()
    print(f"one Authorize: {calls_per_unary()} calls, {least:.0f} us of CPU at least, {median:.0f} us in the median")


if __name__ == "__main__":
    main()
