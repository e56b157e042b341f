"""From a push to a bundle server until two replicas decide by it: the time, and what one replica computes for it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import psutil

from placet.sdk import Action, Client, Identity
from tests.bench.lines import Spread, plain
from tests.faults.distribution import Published
from tests.faults.serving import Server, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.lines import Line

REPLICAS: Final = 2
CHANGE_SECONDS_MAX: Final = 120.0
READ: Final = Action("jira.search", {"query": "x"})
AGENT: Final = Identity(agent="triage-agent", tenant="acme")


def push(folder: Path, rounds: int) -> Iterator[Line]:
    """Push a changed policy again and again to a server that two replicas read by long polling."""
    took, computed = list[float](), list[float]()
    with Published(folder) as published, contextlib.ExitStack() as stack:
        published.push(published.bundle("first")[1])
        flags: dict[str, Any] = {
            "policy_url": published.url,
            "policy_verification_key": published.public,
            "opa_timeout_ms": 5_000,
        }
        servers = [Server(folder / str(number), folder / "none", **flags) for number in range(REPLICAS)]
        for server in servers:
            stack.callback(server.kill)
        clients = [stack.enter_context(Client(server.wait_until_ready().address, timeout=60)) for server in servers]
        for number in range(rounds):
            revision, content = published.bundle(f"round-{number}")
            before = _cpu_seconds(servers[0].process.pid)
            began = time.perf_counter()
            published.push(content)
            for client in clients:
                eventually(
                    lambda client=client, revision=revision: client.authorize(READ, AGENT).policy_revision == revision,  # type: ignore[misc] # bound at once
                    CHANGE_SECONDS_MAX,
                )
            took.append(1_000 * (time.perf_counter() - began))
            computed.append(1_000 * (_cpu_seconds(servers[0].process.pid) - before))
    yield plain(
        f"push of a bundle to the decisions of {REPLICAS} replicas, with `placet policy push`", Spread.of(took), "ms"
    )
    yield plain("CPU time of one replica for it, with all runs of OPA that check it", Spread.of(computed), "ms")


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a server, and of its children, those that have ended included."""
    server = psutil.Process(pid)
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    ended = server.cpu_times()
    return float(sum(each.user + each.system for each in times) + ended.children_user + ended.children_system)
