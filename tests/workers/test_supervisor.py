"""The supervisor gives up visibly, and messages arrive whole."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import uvloop

from placet.kernel.errors import ConfigurationError, UnavailableError
from placet.telemetry.metrics import Metrics
from placet.workers import supervisor as supervising
from placet.workers.messages import Channel, Done, Ping, RecordsStored
from placet.workers.port import reserved_port
from placet.workers.process import WorkerProcess
from placet.workers.supervisor import RESTARTS_MAX, Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence


class DeadWorker:
    """A worker that accepts calls and ends at once."""

    def __init__(self, number: int) -> None:
        self.number, self.pid, self.exit_code = number, 1, -9
        self.awaits_policy, self.accepts, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.awaits_policy.set()
        self.accepts.set()

    async def read(self, _handle: object) -> None:
        self.ended.set()

    async def ended_within(self, seconds: float) -> bool:
        async with asyncio.timeout(seconds):
            return await self.ended.wait()

    def kill(self) -> None:
        self.ended.set()


class Relay:
    """A relay without a policy."""

    async def join(self, worker: object) -> None:
        """Do nothing."""

    def leave(self, worker: object) -> None:
        """Do nothing."""


def supervisor(metrics: Metrics) -> Supervisor:
    observer = SimpleNamespace(metrics=metrics, log=structlog.get_logger())
    core: Any = SimpleNamespace(observer=observer, clock=SimpleNamespace(monotonic=lambda: 0.0))
    relay: Any = Relay()
    begin: Any = None
    return Supervisor(core, relay, lambda _number: begin, 1, ())


async def test_a_worker_that_ends_again_and_again_stops_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    async def start(_cls: type, number: int, _begin: object, _descriptors: Sequence[int]) -> DeadWorker:
        started.append(number)
        return DeadWorker(number)

    monkeypatch.setattr(WorkerProcess, "start", classmethod(start))
    monkeypatch.setattr(supervising, "RESTART_BACKOFF_SECONDS", (0.0,))
    metrics = Metrics()
    tested = supervisor(metrics)
    await tested.start()
    with pytest.raises(ExceptionGroup) as raised:
        await tested.run()
    assert isinstance(raised.value.exceptions[0], UnavailableError)
    assert f"worker 1 ended {RESTARTS_MAX} times in a row" in str(raised.value.exceptions[0])
    assert len(started) == 1 + RESTARTS_MAX
    assert metrics.registry.get_sample_value("placet_worker_restarts_total") == RESTARTS_MAX
    assert metrics.registry.get_sample_value("placet_workers") == 0


async def test_a_worker_that_does_not_start_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(_cls: type, number: int, _begin: object, _descriptors: Sequence[int]) -> DeadWorker:
        worker = DeadWorker(number)
        worker.accepts.clear()
        return worker

    monkeypatch.setattr(WorkerProcess, "start", classmethod(start))
    with pytest.raises(ConfigurationError, match="worker 1 did not start"):
        await supervisor(Metrics()).start()


async def test_messages_arrive_whole_and_in_order() -> None:
    one, two = map(Channel.over, socket.socketpair())
    left, right = await one, await two
    number = left.number()
    left.send(Ping(number))
    left.send(RecordsStored())
    left.send(b"x" * 3_000_000)
    assert await right.receive() == Ping(number)
    assert await right.receive() == RecordsStored()
    assert await right.receive() == b"x" * 3_000_000
    right.send(Done(number, "no"))
    answer = asyncio.ensure_future(left.answer(number))
    await asyncio.sleep(0)
    done = await left.receive()
    assert isinstance(done, Done)
    left.answered(done)
    assert await answer == "no"
    pending = asyncio.ensure_future(left.answer(left.number()))
    await asyncio.sleep(0)
    left.close()
    with pytest.raises(EOFError):
        await pending
    with pytest.raises(EOFError):
        await right.receive()
    left.send(RecordsStored())  # the other process has ended: it is lost
    right.close()


def test_a_message_to_a_process_that_just_ended_is_lost() -> None:
    async def send_after_the_end() -> None:
        own, theirs = socket.socketpair()
        channel = await Channel.over(own)
        theirs.close()
        with pytest.raises(EOFError):
            await channel.receive()
        for _ in range(3):  # uvloop closes the transport soon after the end, before anything calls `close`
            await asyncio.sleep(0)
            channel.send(RecordsStored())

    uvloop.run(send_after_the_end())  # asyncio's own transports ignore the write


def test_the_port_is_reserved_and_free_again() -> None:
    with reserved_port("127.0.0.1:0") as listen:
        with pytest.raises(ConfigurationError, match="cannot listen on"), reserved_port(listen):
            pass
        host, _, port = listen.rpartition(":")
        with socket.socket() as shared:  # as a worker does
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind((host, int(port)))
    with reserved_port(listen) as again:
        assert again == listen


def test_connections_of_a_server_that_was_just_stopped_do_not_hold_the_port() -> None:
    with socket.socket() as listener:  # as a server without workers does: the port is not shared
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        host, port = listener.getsockname()
        with socket.create_connection((host, port)) as caller:
            listener.accept()[0].close()  # the side that closes first lingers in TIME_WAIT
            assert caller.recv(1) == b""
    with reserved_port(f"{host}:{port}") as listen:
        assert listen == f"{host}:{port}"
