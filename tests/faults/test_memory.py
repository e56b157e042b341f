"""Clients that send as much as they may, all at once: the server's memory is bounded, and others are served."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

import grpc
import psutil

from placet.v1 import authorization_pb2
from tests.faults.traffic import AUTHORIZE, READ, proposal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.serving import Server

BATCH: Final = "/placet.v1.AuthorizationService/AuthorizeBatch"
CONNECTIONS: Final = 10
CALLS: Final = 100
GROWTH_BYTES_MAX: Final = 640 * 1024 * 1024
"""128 MiB that gRPC reads at once, 64 MiB that calls hold and five times as much that they make of it."""
LOOK_SECONDS: Final = 0.01


def largest_batch() -> bytes:
    """100 actions with parameters of 64 KB each."""
    requests = [authorization_pb2.AuthorizeRequest.FromString(proposal(READ, f"key-{number}")) for number in range(100)]
    for request in requests:
        request.action.params_json = '{"query":"' + "x" * 65_000 + '"}'
    return authorization_pb2.AuthorizeBatchRequest(requests=requests).SerializeToString()


@contextlib.contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """The largest resident memory of the process within the block, in bytes, when it is over."""
    process, over, peak = psutil.Process(pid), threading.Event(), [0]

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def channels(address: str, stack: contextlib.ExitStack) -> list[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return [stack.enter_context(grpc.insecure_channel(address, options=options)) for _ in range(CONNECTIONS)]


def test_a_hundred_of_the_largest_batches_at_once(server: Server) -> None:
    raw, before = largest_batch(), psutil.Process(server.process.pid).memory_info().rss
    with contextlib.ExitStack() as stack:
        flooding = channels(server.address, stack)
        quiet = stack.enter_context(grpc.insecure_channel(server.address))
        peak = stack.enter_context(peak_memory(server.process.pid))
        calls = [
            flooding[number % CONNECTIONS].unary_unary(BATCH, None, None).future(raw, timeout=120)
            for number in range(CALLS)
        ]
        assert quiet.unary_unary(AUTHORIZE, None, None)(proposal(READ, "quiet"), timeout=30)
        codes = Counter(call.code() for call in calls)
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}, codes
    for call in calls:
        if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            trailer = dict(call.trailing_metadata())
            assert b"google.rpc.RetryInfo" in trailer["grpc-status-details-bin"]
    assert peak[0] - before < GROWTH_BYTES_MAX, f"{peak[0] - before} bytes; {codes}"
    print(f"{(peak[0] - before) >> 20} MiB more than {before >> 20}; {codes}")  # noqa: T201 - the figure
