"""Backups of PostgreSQL as docs/how-to/backup.md says: a moment is restored, verifies, and what it lacks is found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from placet.cli.main import main
from placet.cli.rendering import exit_codes
from placet.signing.keys import PUBLIC_NAME, PublicKeys, load_or_create_signing_key
from placet.storage.postgres.backend import PostgresLedger
from tests.postgres import USER, Postgres, postgres, run_unprivileged, unprivileged
from tests.storage.making import TickingClock, commitment
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_MAX: Final = 60


@pytest.fixture
def archiving() -> Iterator[Postgres]:
    """A server that archives its write-ahead log."""
    with postgres() as server:
        server.stop()
        make_folder(server.folder / "archive")
        server.settings |= {"archive_mode": "on", "archive_command": f"'cp %p {server.folder}/archive/%f'"}
        server.start()
        yield server


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user := unprivileged():
        os.chown(folder, user.pw_uid, user.pw_gid)


def wait_for(condition: str, server: Postgres) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while server.run(f"SELECT {condition}") != [(True,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.1)


@contextlib.contextmanager
def restored(archiving: Postgres, moment: str) -> Iterator[Postgres]:
    """Restore the base backup, and what the archive has up to the moment."""
    folder = Path(tempfile.mkdtemp(prefix="placet-pr-"))
    make_folder(folder)
    server = Postgres(folder, free_port(), archiving.programs)
    server.settings |= {
        "restore_command": f"'cp {archiving.folder}/archive/%f %p'",
        "recovery_target_time": f"'{moment}'",
        "recovery_target_action": "promote",
    }
    try:
        run_unprivileged(["cp", "-a", str(archiving.folder / "base"), str(server.data)])
        run_unprivileged(["touch", str(server.data / "recovery.signal")])
        server.start()
        wait_for("NOT pg_is_in_recovery()", server)
        yield server
    finally:
        with contextlib.suppress(FileNotFoundError):
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_moment_is_restored_and_what_it_lacks_is_found(
    archiving: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = archiving.new_database()
    key = load_or_create_signing_key(tmp_path / "keys")
    ledger = PostgresLedger.open(
        archiving.url(database), writer="w1", signing_key=key, keys=PublicKeys.of(), clock=TickingClock()
    )
    await ledger.commit([commitment(1)])
    base = ["--pgdata", str(archiving.folder / "base"), "--checkpoint=fast"]
    where = ["--host", str(archiving.folder), "--port", str(archiving.port), "--username", USER]
    run_unprivileged([str(archiving.programs / "pg_basebackup"), *where, *base])
    await ledger.commit([commitment(2)])
    await ledger.checkpoint()
    [(moment,)] = archiving.run("SELECT clock_timestamp()::text")
    await asyncio.sleep(0.01)
    await ledger.commit([commitment(3)])
    await ledger.checkpoint()
    await ledger.close()

    verify = ["audit", "verify", "--state", "--public-key", str(tmp_path / "keys" / PUBLIC_NAME)]
    kept = tmp_path / "kept.json"
    assert main(["audit", "checkpoint", "--database-url", archiving.url(database)]) == 0
    kept.write_text(capsys.readouterr().out)
    [(segment,)] = archiving.run("SELECT pg_walfile_name(pg_switch_wal())")
    wait_for(f"last_archived_wal >= '{segment}' FROM pg_stat_archiver", archiving)
    with restored(archiving, str(moment)) as server:
        there = ["--database-url", server.url(database)]
        assert main([*verify, *there]) == 0
        assert "records 2, chains 1, checkpoints 1" in capsys.readouterr().out
        assert main([*verify, *there, "--checkpoint", str(kept)]) == exit_codes.CHECK_FAILED
        assert "kept_checkpoint_mismatch" in capsys.readouterr().out


async def test_a_dump_is_restored(
    postgres_server: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, other = postgres_server.new_database(), postgres_server.new_database()
    key = load_or_create_signing_key(tmp_path / "keys")
    ledger = PostgresLedger.open(
        postgres_server.url(database), writer="w1", signing_key=key, keys=PublicKeys.of(), clock=TickingClock()
    )
    await ledger.commit([commitment(1)])
    await ledger.checkpoint()
    dump = postgres_server.folder / f"{database}.dump"
    programs = postgres_server.programs
    run_unprivileged(
        [str(programs / "pg_dump"), "--format=custom", f"--file={dump}", "--dbname", postgres_server.url(database)]
    )
    await ledger.close()
    run_unprivileged(
        [str(programs / "pg_restore"), "--exit-on-error", "--dbname", postgres_server.url(other), str(dump)]
    )
    key_file = str(tmp_path / "keys" / PUBLIC_NAME)
    assert main(["audit", "verify", "--database-url", postgres_server.url(other), "--public-key", key_file]) == 0
    assert "records 1" in capsys.readouterr().out
