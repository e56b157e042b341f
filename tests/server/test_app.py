"""The server as it is put together: whatever fails, at the start, under way or at the stop, all of it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import grpc
import psutil
import pytest

from placet.engine.managed import ManagedPolicies
from placet.engine.process import FOLDER
from placet.engine.served_revision import ServedRevision
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.sdk import Action, AsyncClient, Identity
from placet.server import build, core
from placet.server import lifecycle as lifetime
from placet.server.build import open_server
from placet.server.lifecycle import serve
from placet.signing.keys import load_or_create_signing_key
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from placet.transport.grpc.server import RpcServer
from tests.freezing import freeze
from tests.serving import settings
from tests.support.checked_policies import remember_checked_policies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.server.core import RunningServer

READ = Action("jira.search", {"query": "x"})
AGENT = Identity(agent="triage-agent", tenant="acme")
DAY_US = 86_400_000_000


def kinds(data_dir: Path) -> list[str]:
    """The kinds of the records but decisions, in order; the trail is whole."""
    key = load_or_create_signing_key(data_dir / "keys").public
    report = verify_database(data_dir / "placet.db", key)
    assert report.ok, report.problems
    with contextlib.closing(sqlite3.connect(data_dir / "placet.db")) as database:
        rows = database.execute("SELECT kind FROM audit_records WHERE decision_id IS NULL ORDER BY sequence").fetchall()
    return [kind for (kind,) in rows]


@pytest.fixture(autouse=True)
def policies_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_checked_policies(monkeypatch)


@pytest.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A server tunes the collector of its process; here that is the tests' own."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def socket_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"{FOLDER}{os.getpid()}-*"))


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """After the test there is no child, socket folder, announcement or open file more than before."""
    children, folders = set(psutil.Process().children()), socket_folders()
    yield
    assert set(psutil.Process().children()) <= children
    assert socket_folders() <= folders
    assert not (tmp_path / "serve.json").exists()
    assert not [each for each in psutil.Process().open_files() if Path(each.path).parent == tmp_path]


async def test_it_decides_and_ends(tmp_path: Path) -> None:
    async with open_server(settings(tmp_path)) as server, AsyncClient(server.address, timeout=10) as client:
        assert (await client.authorize(READ, AGENT)).rule_id == "tools.listed_read"
    assert kinds(tmp_path) == ["server.started", "policy.activated", "server.stopped"]


async def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            async with open_server(settings(tmp_path, listen=f"127.0.0.1:{port}")):
                pytest.fail("it started")
    assert not (tmp_path / "placet.db").exists()


async def test_a_data_dir_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigurationError, match="is a file, not a directory; name a directory with --data-dir"):
        async with open_server(settings(tmp_path).model_copy(update={"data_dir": file})):
            pytest.fail("it started")


async def fail(*_: object, **__: object) -> NoReturn:
    raise ConfigurationError("cannot be had")


@pytest.mark.parametrize(
    ("place", "name"),
    [(ManagedPolicies, "start"), (RpcServer, "start"), (RpcServer, "set_serving"), (build, "write_address_file")],
)
async def test_the_start_fails_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    def fail_at_once(*_: object, **_more: object) -> NoReturn:
        raise ConfigurationError("cannot be had")

    with monkeypatch.context() as patched:
        patched.setattr(place, name, fail_at_once if name == "write_address_file" else fail)
        with pytest.raises(ConfigurationError, match="cannot be had"):
            async with open_server(settings(tmp_path)):
                pytest.fail("it started")
    assert kinds(tmp_path)[-1] == "server.stopped"
    async with open_server(settings(tmp_path)) as server, AsyncClient(server.address, timeout=10) as client:
        assert (await client.authorize(READ, AGENT)).rule_id == "tools.listed_read"


async def test_a_stop_of_which_a_part_fails_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = RpcServer.stop

    async def stop_badly(self: RpcServer, grace_seconds: float) -> None:
        await stop(self, grace_seconds)
        raise RuntimeError("cannot stop")

    monkeypatch.setattr(RpcServer, "stop", stop_badly)
    with pytest.raises(RuntimeError, match="cannot stop"):
        async with open_server(settings(tmp_path)):
            pass
    assert kinds(tmp_path)[-1] == "server.stopped"


async def test_the_ledger_fails_at_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: SqliteLedger, __: Sequence[Commitment]) -> Sequence[CommitResult]:
        raise LedgerUnavailableError("disk full")

    with pytest.raises(LedgerUnavailableError, match="end of the trail could not be signed"):
        async with open_server(settings(tmp_path)):
            monkeypatch.setattr(SqliteLedger, "commit", full)
    assert kinds(tmp_path) == ["server.started", "policy.activated"]


async def test_whoever_watches_over_opa_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def ends(_: ManagedPolicies) -> None:
        raise RuntimeError("watches no longer")

    monkeypatch.setattr(ManagedPolicies, "run", ends)
    async with asyncio.timeout(20):
        assert await serve(settings(tmp_path)) == lifetime.EXIT_DISORDERLY
    assert "watches no longer" in capfd.readouterr().err
    assert kinds(tmp_path)[-1] == "server.stopped"


async def test_a_signal_stops_it_in_order_and_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    async def ready(server: RunningServer) -> bool:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        told.append(server.address)
        return True

    async with asyncio.timeout(20):
        assert await serve(settings(tmp_path), ready, lambda: told.append("stopping")) == 0
    assert told[1:] == ["stopping"]
    assert kinds(tmp_path)[-1] == "server.stopped"


async def test_a_signal_during_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(_: ManagedPolicies) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(ManagedPolicies, "start", wait)
    async with asyncio.timeout(20):
        assert await serve(settings(tmp_path)) == 0
    assert kinds(tmp_path) == ["server.started", "server.stopped"]


async def test_cancelled_from_outside_it_says_so(tmp_path: Path) -> None:
    serving = asyncio.create_task(serve(settings(tmp_path)))
    async with asyncio.timeout(20):
        while not (tmp_path / "serve.json").exists():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait({serving})
    assert serving.cancelled()
    assert kinds(tmp_path)[-1] == "server.stopped"


class JumpingClock:
    """Wall time that goes a day back at every look; time that only goes forward is the machine's."""

    def __init__(self) -> None:
        self._us = time.time_ns() // 1_000

    def wall_us(self) -> int:
        self._us -= DAY_US
        return self._us

    def monotonic(self) -> float:
        return time.monotonic()


async def test_wall_time_goes_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "SystemClock", JumpingClock)
    ids = []
    chosen = settings(tmp_path, max_policy_age_seconds=30, checkpoint_interval_seconds=1, clock_skew_max_seconds=0)
    async with open_server(chosen) as server, AsyncClient(server.address, timeout=10) as client:
        for number in range(20):
            decision = await client.authorize(READ, AGENT, idempotency_key=f"key-{number}")
            assert decision.rule_id == "tools.listed_read"
            again = await client.authorize(READ, AGENT, idempotency_key=f"key-{number}")
            assert again.decision_id == decision.decision_id
            ids.append(decision.decision_id)
        assert (await server.ledger.verify()).ok
        assert server.policies.status().ready
        for each in ids:
            found = await server.ledger.get_decision("acme", each)
            assert found is not None
            assert found.decision.decided_at_us < found.decision.received_at_us  # what the clock said is what stands
    assert kinds(tmp_path) == ["server.started", "policy.activated", "server.stopped"]


async def test_a_clock_far_behind_the_ledger_denies_on_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "SystemClock", JumpingClock)
    async with open_server(settings(tmp_path)) as server, AsyncClient(server.address, timeout=10) as client:
        decision = await client.authorize(READ, AGENT)
        assert decision.rule_id == "pdp.clock_skew"
        found = await server.ledger.get_decision("acme", decision.decision_id)
        assert found is not None
        assert found.decision.rule_id == "pdp.clock_skew"


async def test_opas_deadline_holds_when_wall_time_goes_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "SystemClock", JumpingClock)
    chosen = settings(tmp_path, opa_timeout_ms=300, clock_skew_max_seconds=0)
    async with open_server(chosen) as server, AsyncClient(server.address, timeout=10) as client:
        generation = server.policies.current()
        assert isinstance(generation, ServedRevision)
        freeze(generation.process.pid)
        began = time.monotonic()
        assert (await client.authorize(READ, AGENT)).rule_id == "pdp.engine_timeout"
        assert 0.3 <= time.monotonic() - began < 5
        psutil.Process(generation.process.pid).resume()
        assert (await server.ledger.verify()).ok


async def test_a_malformed_request_that_cannot_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: SqliteLedger, __: Sequence[Commitment]) -> Sequence[CommitResult]:
        raise LedgerUnavailableError("disk full")

    async with (
        open_server(settings(tmp_path)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        call = channel.unary_unary("/placet.v1.AuthorizationService/Authorize", None, None)
        with monkeypatch.context() as patched:
            patched.setattr(SqliteLedger, "commit", full)
            for raw in (b"\xff", b""):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call(raw, timeout=10)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                assert "disk full" not in (refused.value.details() or "")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\xff", timeout=10)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert kinds(tmp_path).count("request.refused") == 1
