"""Callers that go away before the answer: nothing of them stays in the server, their decisions stay in the trail."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import psutil
import pytest

from placet.engine.connections import IDLE_MAX
from placet.v1 import authorization_pb2
from tests.faults.serving import eventually
from tests.faults.traffic import AUTHORIZE, READ, WRITE, proposal
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Server

LONGEST_SECONDS = 0.01
"""Longer than most calls take, so that some are answered first."""
GROWTH_BYTES_MAX = 12 * 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(settings(tmp_path)) as running:
        yield running


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as connected:
        yield connected


async def tasks() -> int:
    return len(asyncio.all_tasks())


def cancel(channel: grpc.Channel, count: int) -> list[tuple[str, str]]:
    """Calls given up at random points, several under way at once; the tool and key of each."""
    call = channel.unary_unary(AUTHORIZE, None, None)
    asked = [(random.choice((READ, WRITE)), f"key-{number}-{random.getrandbits(32):x}") for number in range(count)]
    under_way: list[tuple[float, grpc.Future[bytes]]] = []
    for tool, key in asked:
        under_way.append((time.monotonic() + random.uniform(0, LONGEST_SECONDS), call.future(proposal(tool, key), 10)))
        if len(under_way) == 4:
            give_up(under_way)
    give_up(under_way)
    return asked


def give_up(under_way: list[tuple[float, grpc.Future[bytes]]]) -> None:
    for until, answer in sorted(under_way, key=lambda each: each[0]):
        with contextlib.suppress(grpc.FutureTimeoutError):
            answer.result(max(0.0, until - time.monotonic()))
        answer.cancel()
    under_way.clear()


def decide_again(channel: grpc.Channel, asked: list[tuple[str, str]]) -> dict[str, str]:
    """Key -> decision_id that its caller is told when it asks again."""
    call = channel.unary_unary(AUTHORIZE, None, None)
    return {
        key: authorization_pb2.AuthorizeResponse.FromString(call(proposal(tool, key), 10)).decision.decision_id
        for tool, key in asked
    }


def in_trail(server: Server) -> Counter[tuple[str, str]]:
    bodies = [record["body"] for record in server.records("decision.made")]
    return Counter((body["idempotency_key"], body["decision_id"]) for body in bodies)


def check_callers_that_give_up(server: Server, channel: grpc.Channel, count: int) -> None:
    process = psutil.Process()
    decide_again(channel, [(READ, "warm")])
    tasks_before, sockets_before = server.run(tasks()), len(process.net_connections("all"))
    asked = cancel(channel, count)
    eventually(lambda: server.run(tasks()) <= tasks_before, 10, "tasks of callers that are gone")
    eventually(lambda: len(process.net_connections("all")) <= sockets_before, 10, "sockets of callers that are gone")
    stood = dict(in_trail(server))
    told = decide_again(channel, asked)
    trail = in_trail(server)
    assert set(trail.values()) == {1}
    assert len(trail) == count + 1  # one decision for each key, whether its caller waited or not
    assert all(told[key] == decision for key, decision in stood if key in told)
    assert all((key, decision) in trail for key, decision in told.items())
    assert len(stood) > 1, "not one was under way when its caller went"
    assert server.run(server.running.ledger.verify()).ok


def test_nothing_of_them_stays(server: Server, channel: grpc.Channel) -> None:
    check_callers_that_give_up(server, channel, 50)


@pytest.mark.soak
@pytest.mark.usefixtures("server")
def test_memory_is_flat(channel: grpc.Channel) -> None:
    for _ in range(5):  # what caches and pools take once
        cancel(channel, 100)
    before = psutil.Process().memory_info().rss
    for _ in range(10):
        cancel(channel, 100)
    assert psutil.Process().memory_info().rss - before < GROWTH_BYTES_MAX


@pytest.mark.soak
def test_a_thousand_of_them(server: Server, channel: grpc.Channel) -> None:
    check_callers_that_give_up(server, channel, 1_000)


def test_whole_connections_that_break(server: Server) -> None:
    process = psutil.Process()
    with grpc.insecure_channel(server.address) as channel:
        decide_again(channel, [(READ, "warm")])
    tasks_before, files_before = server.run(tasks()), process.num_fds()
    for number in range(20):
        with grpc.insecure_channel(server.address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            call = channel.unary_unary(AUTHORIZE, None, None)
            answers = [call.future(proposal(READ, f"{number}-{each}"), 10) for each in range(4)]
            answers[0].result()
    eventually(lambda: server.run(tasks()) <= tasks_before, 10, "tasks of callers that are gone")
    # Connections to OPA that the server keeps for later are no files of callers.
    eventually(lambda: process.num_fds() <= files_before + IDLE_MAX, 10, "files of callers that are gone")
    assert set(in_trail(server).values()) == {1}
