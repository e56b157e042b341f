"""Policy on its way to two replicas: a bundle server, two servers, real OPA, and pushes good and bad."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from placet.sdk import Action, Client, ControlClient, Identity
from tests.faults.serving import START_SECONDS_MAX, Server, eventually
from tests.policy.releases import damaged, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.distribution import Published

CHANGE_SECONDS_MAX = 60.0
"""Far more than a change takes, which `python -m tests.bench --only push` measures: a machine may be overloaded."""
READ = Action("jira.search", {"query": "x"})
AGENT = Identity(agent="triage-agent", tenant="acme")


def revision_of(server: Server) -> str:
    """The revision by which the server decides now."""
    with Client(server.address, timeout=10) as client:
        return client.authorize(READ, AGENT).policy_revision


def refusals(replicas: list[Server]) -> list[int]:
    """How many policies each replica has refused."""
    return [len(server.events("policy refused")) for server in replicas]


def all_refused_since(replicas: list[Server], before: list[int]) -> bool:
    return all(now > then for now, then in zip(refusals(replicas), before, strict=True))


@pytest.mark.timeout(400)
def test_a_push_reaches_two_replicas_and_nothing_else_does(
    published: Published, postgres_url: str, tmp_path: Path
) -> None:
    first, old = published.bundle("first")
    published.push(old)
    with contextlib.ExitStack() as stack:
        replicas: list[Server] = []
        for name in ("one", "two"):
            flags: dict[str, Any] = {"policy_url": published.url, "policy_verification_key": published.public}
            server = Server(
                tmp_path / name,
                tmp_path / "none",
                database_url=postgres_url,
                replica_id=name,
                opa_timeout_ms=5_000,
                **flags,
            )
            stack.callback(server.kill)
            replicas.append(server)
        for server in replicas:
            server.wait_until_ready()
        assert [revision_of(server) for server in replicas] == [first, first]

        second, content = published.bundle("second")
        published.push(content)  # that no interval passes is tested in tests/transport/test_bundle_server.py
        eventually(lambda: all(revision_of(server) == second for server in replicas), CHANGE_SECONDS_MAX)

        _, third = published.bundle("third")
        spoilt: list[Callable[[bytes], bytes]] = [damaged, unsigned, lambda content: content[: len(content) // 2]]
        for spoil in spoilt:
            before = refusals(replicas)
            published.put(spoil(third))
            eventually(partial(all_refused_since, replicas, before), START_SECONDS_MAX)
            assert [revision_of(server) for server in replicas] == [second, second]

        published.put(old)
        eventually(lambda: all(server.status().held_revision == first for server in replicas), START_SECONDS_MAX)
        assert [revision_of(server) for server in replicas] == [second, second]
        with ControlClient(replicas[0].address, timeout=60) as control:
            control.confirm_policy(first, actor="ann", reason="the new limits block refunds")
        eventually(lambda: all(revision_of(server) == first for server in replicas), START_SECONDS_MAX)
        for server in replicas:
            assert len(server.events("policy held")) == 1
            assert server.stop() == 0
