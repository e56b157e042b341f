"""Data that gRPC buffers for calls that are not read, and malformed calls."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2

from placet.kernel.limits import MESSAGE_BYTES_MAX
from placet.v1 import authorization_pb2
from tests.tcp_proxy import proxy

if TYPE_CHECKING:
    from tests.serving import Server

AUTHORIZE = "/placet.v1.AuthorizationService/Authorize"
HEALTH = "/grpc.health.v1.Health/Check"
CALLS = 4
WINDOW_BYTES_MAX = 80_000
"""64 KiB and the headers of a call."""


def test_grpc_buffers_at_most_a_window_of_an_unread_message(placet_server: Server) -> None:
    port = int(placet_server.address.rpartition(":")[2])
    with proxy(port) as between, grpc.insecure_channel(f"127.0.0.1:{between.port}") as channel:
        assert channel.unary_unary(HEALTH, None, None)(b"", timeout=20)
        with placet_server.busy():
            calls = [channel.unary_unary(AUTHORIZE, None, None).future(bytes(7_000_000)) for _ in range(CALLS)]
            between.wait_until_quiet()
            assert between.client_bytes <= CALLS * WINDOW_BYTES_MAX
        assert {call.code() for call in calls} == {grpc.StatusCode.INVALID_ARGUMENT}
        assert between.client_bytes > 7_000_000, "and then it was read"


@pytest.mark.parametrize("method", [AUTHORIZE, "/placet.v1.ApprovalService/WatchApprovals", HEALTH])
def test_a_call_without_a_message_is_invalid(placet_server: Server, method: str) -> None:
    with grpc.insecure_channel(placet_server.address) as channel:
        answers = channel.stream_stream(method, None, None)(iter(()), timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            list(answers)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_further_messages_of_a_unary_call_are_not_read(placet_server: Server) -> None:
    first = health_pb2.HealthCheckRequest().SerializeToString()
    with grpc.insecure_channel(placet_server.address) as channel:
        [answer] = channel.stream_stream(HEALTH, None, None)(iter([first, bytes(5_000_000)]), timeout=20)
    assert health_pb2.HealthCheckResponse.FromString(answer).status == health_pb2.HealthCheckResponse.SERVING


def test_a_compressed_message_is_refused_at_the_size_limit(placet_server: Server) -> None:
    bomb = bytes(MESSAGE_BYTES_MAX + 1)
    assert len(gzip.compress(bomb)) < 20_000
    with (
        grpc.insecure_channel(placet_server.address, options=[("grpc.max_send_message_length", -1)]) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(AUTHORIZE, None, None)(bomb, timeout=20, compression=grpc.Compression.Gzip)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_large_metadata_is_refused_and_the_connection_goes_on(placet_server: Server) -> None:
    with grpc.insecure_channel(placet_server.address) as channel:
        call = channel.unary_unary(AUTHORIZE, None, None)
        message = authorization_pb2.AuthorizeRequest().SerializeToString()
        with pytest.raises(grpc.RpcError) as refused:
            call(message, timeout=20, metadata=(("x-large", "a" * 40_000),))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.RpcError) as answered:
            call(message, timeout=20)
        assert answered.value.code() is grpc.StatusCode.INVALID_ARGUMENT
