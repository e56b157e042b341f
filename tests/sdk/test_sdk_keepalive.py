"""Keepalive pings find connections that a NAT dropped, and the server permits them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from placet.sdk import Action, ApprovalClient, AsyncClient, CallFailedError, Client, Identity
from placet.sdk._transport.options import KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS
from placet.transport.grpc.server import PING_INTERVAL_MS_MIN
from tests.faults.serving import eventually
from tests.tcp_proxy import proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.sdk import Decision
    from tests.serving import Server
    from tests.tcp_proxy import Proxy

NOTICED_SECONDS = (KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS) / 1_000 + 10
"""With the calls that detect it, on a busy machine."""
ACTION, IDENTITY = Action("jira.search", {"query": "open"}), Identity("agent", "acme")
WRITE = Action("jira.create_ticket", {"title": "printer on fire"})
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _PING, _GOAWAY = 4, 6, 7


@pytest.fixture
def between(placet_server: Server) -> Iterator[Proxy]:
    with proxy(int(placet_server.address.rpartition(":")[2])) as made:
        yield made


def until_answered(ask: Client) -> float:
    """Seconds until a call succeeds again."""
    begun = time.monotonic()
    while ask.authorize(ACTION, IDENTITY, timeout=1).failure is not None:
        assert time.monotonic() - begun < NOTICED_SECONDS
    return time.monotonic() - begun


def test_a_client_reconnects_while_it_calls(between: Proxy) -> None:
    with Client(f"127.0.0.1:{between.port}", timeout=10) as client:
        assert client.authorize(ACTION, IDENTITY).allowed
        between.silence()
        assert client.authorize(ACTION, IDENTITY, timeout=0.5).failure is not None
        until_answered(client)


async def test_an_asyncio_client_reconnects(between: Proxy) -> None:
    async with AsyncClient(f"127.0.0.1:{between.port}", timeout=10) as client:
        assert (await client.authorize(ACTION, IDENTITY)).allowed
        between.silence()
        async with asyncio.timeout(NOTICED_SECONDS):
            while (await client.authorize(ACTION, IDENTITY, timeout=1)).failure is not None:
                pass


def test_a_stream_resumes(between: Proxy, placet_server: Server) -> None:
    seen: list[str] = []
    watching = threading.Event()

    def watch() -> None:
        with (
            ApprovalClient(f"127.0.0.1:{between.port}") as approvals,
            contextlib.suppress(CallFailedError),  # the watch ends by its timeout, when all was seen
        ):
            for change in approvals.watch("acme", timeout=NOTICED_SECONDS + 20):
                seen.append(change.approval.id)
                watching.set()

    with Client(placet_server.address, timeout=10) as direct:
        _ask(direct)  # so that there is an event to send at once
        threading.Thread(target=watch, daemon=True).start()
        assert watching.wait(20)
        between.silence()
        approval = _ask(direct).approval
        eventually(lambda: approval and approval.id in seen, NOTICED_SECONDS + 20)


def _ask(client: Client) -> Decision:
    decision = client.authorize(WRITE, IDENTITY)
    assert decision.approval is not None
    return decision


def test_the_server_permits_the_documented_ping_interval(placet_server: Server) -> None:
    """By default, a gRPC server answers the third ping within five minutes with GOAWAY, too_many_pings."""
    host, _, port = placet_server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(_PREFACE + _frame(_SETTINGS))
        for number in range(5):
            connection.sendall(_frame(_PING, struct.pack(">Q", number)))
            assert _until(connection, _PING, struct.pack(">Q", number))
            with contextlib.suppress(TimeoutError):
                _until_goaway(connection, PING_INTERVAL_MS_MIN / 1_000 + 0.1)


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0]) + struct.pack(">I", 0) + payload


def _read(connection: socket.socket) -> tuple[int, bytes]:
    head = _exactly(connection, 9)
    return head[3], _exactly(connection, int.from_bytes(head[:3], "big"))


def _exactly(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        more = connection.recv(size - len(read))
        assert more, "the server closed the connection"
        read += more
    return read


def _until(connection: socket.socket, expected_kind: int, payload: bytes) -> bool:
    """Skips other frames. Fails on GOAWAY."""
    connection.settimeout(20)
    while True:
        kind, content = _read(connection)
        assert kind != _GOAWAY, content
        if (kind, content) == (expected_kind, payload):
            return True


def _until_goaway(connection: socket.socket, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        kind, content = _read(connection)
        assert kind != _GOAWAY, content
