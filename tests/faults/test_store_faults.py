"""The store fails under a serving server: no decision is told that is not recorded, and it recovers by itself."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.faults.breaking import full, immutable, limited, locked
from tests.faults.serving import NOT_SERVING, SERVING, eventually, serving
from tests.faults.traffic import Answered, Failed, ask, ask_rightly, check_recorded, traffic

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.faults.serving import Server

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def check_refusal_during(server: Server, fault: AbstractContextManager[None]) -> None:
    """While the fault lasts, nothing is decided; then all goes on. Every answer is recorded, before and after."""
    with traffic(server) as asked:
        asked.more(20)
        with fault:
            eventually(lambda: asked.codes[UNAVAILABLE] > 0, 10, "a refusal")
            began = time.monotonic()
            eventually(lambda: len([each for each in list(asked.failed) if each.at > began]) >= 5, 10)
            said = ask(server)
            assert isinstance(said, Failed)
            ended = time.monotonic()
        asked.more(20)
    assert set(asked.codes) == {UNAVAILABLE}
    assert not [each for each in asked.answered if began < each.at - each.seconds and each.at < ended]
    assert not asked.wrong
    check_recorded(server, asked)
    assert server.process.poll() is None


def test_the_disk_is_full_and_so_is_the_logs(small_disk: Path, rego_dir: Path) -> None:
    with serving(small_disk, rego_dir) as server:
        check_refusal_during(server, full(small_disk))
        assert server.stop() == 0


def test_the_disk_is_still_full_at_the_stop(small_disk: Path, tmp_path: Path, rego_dir: Path) -> None:
    with serving(tmp_path / "logs", rego_dir, data_dir=small_disk / "data") as server:
        assert ask_rightly(server)
        opa = server.opa
        with full(small_disk):
            eventually(lambda: isinstance(ask(server), Failed), 10)
            status = server.status()
            assert (status.serving, status.ready) == (False, True)
            assert "full" in status.store_error
            assert f"the store does not commit: {status.store_error}" in status.not_serving_reasons
            assert status.data_dir_free_bytes < 1024 * 1024
            failed = len(server.events("internal error"))
            eventually(lambda: len(server.events("internal error")) >= failed + 2, 15, "two more probes that fail")
            assert not server.status().serving
            assert not server.events("store works again")
            said = ask(server)
            assert isinstance(said, Failed)
            assert "the disk of the server's database is full; make room there" in said.text
            assert (server.health("placet.store"), server.health("placet.engine")) == (NOT_SERVING, SERVING)
            assert server.stop() == 5
            assert not opa.is_running()
        assert "placet: stopped, but the end of the trail could not be signed" in server.said
        assert server.verify().ok
    with serving(tmp_path / "logs", rego_dir, data_dir=small_disk / "data") as again:
        assert ask_rightly(again)


def test_health_follows_the_store_and_comes_back_without_a_request(server: Server) -> None:
    assert server.health() == SERVING
    with locked(server.data_dir / "placet.db"):
        eventually(lambda: isinstance(ask(server), Failed), 15)
        eventually(lambda: server.health() == NOT_SERVING, 5)
    eventually(lambda: server.health() == SERVING, 10)
    assert server.events("store failing")
    assert server.events("store works again")
    assert ask_rightly(server)


def test_a_quota_is_reached(server: Server) -> None:
    check_refusal_during(server, limited(server))
    assert server.stop() == 0
    assert server.events("log lines lost")


def test_another_process_holds_the_database(server: Server) -> None:
    check_refusal_during(server, locked(server.data_dir / "placet.db"))


def test_the_files_become_immutable(server: Server) -> None:
    assert ask_rightly(server)
    check_refusal_during(server, immutable(server.data_dir / "placet.db", server.data_dir / "placet.db-wal"))


def test_a_backup_that_is_quick_is_waited_for(server: Server) -> None:
    with traffic(server) as asked:
        asked.more(20)
        for _ in range(5):
            with locked(server.data_dir / "placet.db"):
                assert len(asked.answered) > 0
            asked.more(5)
    assert not asked.failed
    check_recorded(server, asked)


def test_the_database_is_moved_away(serve: Callable[..., Server]) -> None:
    server = serve()
    database = server.data_dir / "placet.db"
    away = database.with_name("away.db")
    with traffic(server) as asked:
        asked.more(20)
        database.rename(away)
        eventually(lambda: asked.codes[UNAVAILABLE] > 0, 10)
        told = ask(server)
        assert isinstance(told, Failed)
        away.rename(database)
        asked.more(20)
    assert set(asked.codes) == {UNAVAILABLE}
    check_recorded(server, asked)
    assert isinstance(ask(server), Answered)
    assert os.access(database, os.W_OK)


@pytest.mark.parametrize("name", ["placet.db", "placet.db-wal", "placet.db-shm"])
def test_a_file_of_the_database_is_removed_and_the_server_killed(
    serve: Callable[..., Server], name: str, tmp_path: Path
) -> None:
    """Nothing is told that a restart would not find, however the process ends."""
    server = serve()
    with traffic(server) as asked:
        asked.more(20)
        lost = server.data_dir / name
        kept = tmp_path / "kept"
        os.link(lost, kept)  # the same file under another name: what a person would look for
        lost.unlink()
        eventually(lambda: asked.codes[UNAVAILABLE] > 0, 10)
        eventually(lambda: server.health() == NOT_SERVING, 15)
        assert any(str(lost) in reason for reason in server.status().not_serving_reasons)
    assert set(asked.codes) == {UNAVAILABLE}
    server.process.kill()
    server.process.wait(10)
    if name == "placet.db":
        os.link(kept, lost)
    check_recorded(serve(data_dir=server.data_dir), asked)
