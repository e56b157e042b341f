"""Clients in several event loops, threads and forked processes, and after `close`: they work, or name the cause."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import placet.sdk
from placet.sdk import Action, ApprovalClient, AsyncClient, CallFailedError, Client, Identity
from tests.sdk.scripted_server import AUTHORIZE, allow

if TYPE_CHECKING:
    from tests.sdk.scripted_server import ScriptedServer

ACTION, IDENTITY = Action("t"), Identity("a", "t")


@pytest.fixture
def allowing(server: ScriptedServer) -> ScriptedServer:
    server.script(AUTHORIZE, allow())
    return server


def test_one_asyncio_client_in_one_loop_after_another(allowing: ScriptedServer) -> None:
    client = AsyncClient(allowing.address, timeout=10)
    for _ in range(3):
        assert asyncio.run(client.authorize(ACTION, IDENTITY)).allowed
    gc.collect()
    asyncio.run(client.close())


def test_one_asyncio_client_in_several_loops_at_once(allowing: ScriptedServer) -> None:
    client, together, allowed = AsyncClient(allowing.address, timeout=10), threading.Barrier(3), []

    async def ask() -> None:
        together.wait(20)
        allowed.extend([(await client.authorize(ACTION, IDENTITY)).allowed for _ in range(20)])
        together.wait(20)

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert allowed == [True] * 60
    asyncio.run(client.close())


def test_an_asyncio_client_that_another_loop_closed(allowing: ScriptedServer) -> None:
    client = AsyncClient(allowing.address, timeout=10)
    assert asyncio.run(client.authorize(ACTION, IDENTITY)).allowed
    asyncio.run(client.close())
    got = asyncio.run(client.authorize(ACTION, IDENTITY))
    assert got.failure is not None
    assert got.failure.detail == "this client is closed"


async def test_calls_of_a_closed_client_fail(allowing: ScriptedServer) -> None:
    client, blocking = AsyncClient(allowing.address), Client(allowing.address)
    assert (await client.authorize(ACTION, IDENTITY)).allowed
    for _ in range(2):
        await client.close()
        blocking.close()
    for got in (await client.authorize(ACTION, IDENTITY), blocking.authorize(ACTION, IDENTITY)):
        assert got.failure is not None
        assert got.failure.detail == "this client is closed"
    with pytest.raises(CallFailedError, match="this client is closed"):
        blocking.authorize(ACTION, IDENTITY, on_failure="raise")
    with pytest.raises(CallFailedError, match="this client is closed"):
        await client.report_outcome("dec_1", "succeeded", tenant="t")
    with pytest.raises(CallFailedError, match="this client is closed"):
        await anext(client.watch_decision("dec_1", tenant="t"))
    approvals = ApprovalClient(allowing.address)
    approvals.close()
    with pytest.raises(CallFailedError, match="this client is closed"):
        next(approvals.watch("t"))


SCRIPT = """
import asyncio, os, sys, threading
from placet.sdk import Action, AsyncClient, Client, Identity
address = sys.argv[1]
ACTION, IDENTITY = Action("t"), Identity("a", "t")

def say(ask):
    got = ask()
    print("allowed" if got.allowed else got.failure.detail if got.failure else got.rule_id, flush=True)

def child(ask):
    pid = os.fork()
    if not pid:
        say(ask)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def blocking():
    return Client(address, timeout=10).authorize(ACTION, IDENTITY)

def with_asyncio():
    async def ask():
        async with AsyncClient(address, timeout=10) as client:
            return await client.authorize(ACTION, IDENTITY)
    return asyncio.run(ask())

"""
REFUSED = "gRPC was in use when this process was forked"
MADE = "client = Client(address, timeout=10); ask = lambda: client.authorize(ACTION, IDENTITY); "
MADE_ASYNC = "client = AsyncClient(address); ask = lambda: asyncio.run(client.authorize(ACTION, IDENTITY)); "
USED = MADE + "say(ask); child(ask); say(ask)"
NEVER_CALLED = MADE + "child(ask)"
STREAM = 'client = Client(address, timeout=10, transport="stream"); ask = lambda: client.authorize(ACTION, IDENTITY); '
FORKS = {
    NEVER_CALLED: "allowed",
    USED: "allowed allowed allowed",
    STREAM + "say(ask); child(ask); say(ask); child(ask); say(ask)": "allowed allowed allowed allowed allowed",
    STREAM + "say(ask); child(blocking); client.close(); child(blocking)": "allowed allowed allowed",
    MADE + "say(ask); client.close(); child(ask)": "allowed this client is closed",
    "say(blocking); child(blocking); child(with_asyncio)": "allowed allowed allowed",
    "child(lambda: [say(blocking), child(blocking), blocking()][-1])": "allowed allowed allowed",
    MADE_ASYNC + "child(ask)": "allowed",
    "say(with_asyncio); child(with_asyncio); child(blocking)": f"allowed {REFUSED} {REFUSED}",
}
"""Code of a process, and what its calls and those of its children print."""


def forked(address: str, code: str, **environment: str) -> str:
    """What a script prints, without the second half of the long sentence."""
    server = Path(placet.sdk.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + code, address],
        env={"PYTHONPATH": str(server), "GRPC_VERBOSITY": "NONE", **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return " ".join(line.partition(", and cannot")[0] for line in done.stdout.splitlines())


@pytest.mark.parametrize(("code", "printed"), FORKS.items())
def test_after_a_fork(allowing: ScriptedServer, code: str, printed: str) -> None:
    assert forked(allowing.address, code) == printed


def test_forks_just_after_clients_were_dropped(allowing: ScriptedServer) -> None:
    """gRPC must not shut down at the fork: the child would wait forever for a lock of its parent."""
    assert (
        forked(allowing.address, "[(say(blocking), child(blocking)) for _ in range(25)]") == "allowed " * 49 + "allowed"
    )


def test_a_fork_during_a_call(server: ScriptedServer) -> None:
    arrived, over = threading.Event(), threading.Event()

    def slow(_raw: bytes, _context: object) -> bytes:
        arrived.set()
        over.wait(20)
        return allow().SerializeToString()

    server.script(AUTHORIZE, slow, allow())
    code = """
thread = threading.Thread(target=blocking); thread.start()
sys.stdin.readline()
child(blocking)
os._exit(0)
"""
    path = str(Path(placet.sdk.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code, server.address],
        env={"PYTHONPATH": path, "GRPC_VERBOSITY": "NONE"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert arrived.wait(20)
            printed, _ = process.communicate("\n", timeout=30)
        finally:
            over.set()
            process.kill()
    assert printed.startswith(REFUSED)


def test_a_fork_without_the_fork_support_of_grpc(allowing: ScriptedServer) -> None:
    assert forked(allowing.address, USED, GRPC_ENABLE_FORK_SUPPORT="false") == f"allowed {REFUSED} allowed"
    assert forked(allowing.address, NEVER_CALLED, GRPC_ENABLE_FORK_SUPPORT="false") == "allowed"
