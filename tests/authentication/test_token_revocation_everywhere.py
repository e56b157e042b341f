"""Once RevokeToken has returned, no replica and no worker answers a call with the token."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import grpc
import pytest

from placet.tokens.directory import LEASE_SECONDS, SETTLED_SECONDS
from tests.authentication.token_servers import ADMIN, RUNTIME, TokenCaller, created, token_settings, wire_grant
from tests.faults.serving import Server as Process
from tests.faults.serving import eventually
from tests.faults.serving import serving as serving_process
from tests.serving import serving
from tests.transport.wire import Refusal

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME_OF_ACME = wire_grant("AGENT_RUNTIME", "acme", agents=("support-*",), user="USER_ASSERTION_TRUSTED")
CALLERS = 4
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
BUSY_SECONDS = 20.0
"""What a busy machine may add to a call."""


class Traffic:
    """Callers that ask for decisions with one token over own connections, until each is refused."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token
        self.answered_at: list[float] = []
        self.refused: list[Refusal] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        eventually(lambda: len(self.answered_at) >= CALLERS, BUSY_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(BUSY_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a caller was never refused"

    def _ask(self) -> None:
        with TokenCaller(self._address, self._token) as caller:
            while True:
                try:
                    caller.authorize()
                except Refusal as refusal:
                    self.refused.append(refusal)
                    return
                self.answered_at.append(time.monotonic())


def require_revoked_under_load(address: str, admin: str, others: str) -> None:
    """Revoke a token at one address while it is used at another, and check that the answer holds there."""
    with TokenCaller(address, admin) as caller:
        made = caller.create("runtime", RUNTIME_OF_ACME)
        with Traffic(others, made.secret) as traffic:
            caller.revoke(made.token.id)
            returned_at = time.monotonic()
        assert max(traffic.answered_at) <= returned_at
        assert {refusal.code for refusal in traffic.refused} == {UNAUTHENTICATED}


def test_on_two_replicas(postgres_url: str, tmp_path: Path) -> None:
    chosen = [token_settings(tmp_path / name, database_url=postgres_url, replica_id=name) for name in "ab"]
    admin, _ = created(chosen[0], ADMIN)
    with serving(chosen[0]) as one, serving(chosen[1]) as two:
        for first, second in ((one, two), (two, one)):
            require_revoked_under_load(first.address, admin, second.address)


def test_a_new_token_is_accepted_everywhere(postgres_url: str, tmp_path: Path) -> None:
    chosen = [token_settings(tmp_path / name, database_url=postgres_url, replica_id=name) for name in "ab"]
    admin, _ = created(chosen[0], ADMIN)
    with serving(chosen[0]) as one, serving(chosen[1]) as two, TokenCaller(one.address, admin) as caller:
        for _ in range(3):
            made = caller.create("runtime", RUNTIME_OF_ACME)
            with TokenCaller(two.address, made.secret) as runtime:
                assert runtime.authorize().decision_id


def flags(folder: Path, **more: object) -> dict[str, object]:
    return {"auth_file": folder / "auth.toml", "opa_timeout_ms": 20_000, **more}


def test_on_workers_of_one_server(tmp_path: Path) -> None:
    chosen = token_settings(tmp_path / "data")
    admin, _ = created(chosen, ADMIN)
    more = flags(tmp_path / "data", workers=2)
    with serving_process(tmp_path, chosen.rego_dir, data_dir=chosen.data_dir, **more) as server:
        for _ in range(2):
            require_revoked_under_load(server.address, admin, server.address)


def test_a_replica_that_is_killed_during_a_revocation(postgres_url: str, tmp_path: Path) -> None:
    """The revocation is durable before its answer. The other replica learns of it within a lease."""
    chosen = [token_settings(tmp_path / name, database_url=postgres_url, replica_id=name) for name in "ab"]
    admin, _ = created(chosen[0], ADMIN)
    runtime, token_id = created(chosen[0], RUNTIME)
    with ExitStack() as stack:
        servers: list[Process] = [
            stack.enter_context(
                serving_process(
                    tmp_path / f"run-{each.replica_id}",
                    each.rego_dir,
                    data_dir=each.data_dir,
                    **flags(each.data_dir, database_url=postgres_url, replica_id=each.replica_id),
                )
            )
            for each in chosen
        ]
        killed, other = servers
        with Traffic(other.address, runtime) as traffic:
            threading.Timer(SETTLED_SECONDS / 2, killed.process.send_signal, [signal.SIGKILL]).start()
            with TokenCaller(killed.address, admin) as caller, pytest.raises(Refusal) as lost:
                caller.revoke(token_id)
            killed_at = time.monotonic()
        assert lost.value.code is grpc.StatusCode.UNAVAILABLE
        assert max(traffic.answered_at) - killed_at < LEASE_SECONDS
        assert {refusal.code for refusal in traffic.refused} == {UNAUTHENTICATED}
