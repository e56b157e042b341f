from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from placet.audit.records import Committed, DecisionPage, DecisionQuery, VerifyReport
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.signing.keys import generate_signing_key
from placet.storage.connections.engines import sqlite_url
from placet.storage.connections.file_lock import WriterLock
from placet.storage.connections.sqlite import create
from placet.storage.migrate import prepare
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.writer import SqliteWriter
from tests.storage.ledger_contract import LedgerContract, listed
from tests.storage.making import TickingClock, commitment, commitments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.signing.keys import SigningKey


class TestSqliteLedger(LedgerContract):
    """The contract; `ledger` is the fixture of this folder."""


async def test_it_goes_on_where_it_was_closed(open_ledger: Callable[[], SqliteLedger]) -> None:
    for start in (1, 4, 7):
        ledger = open_ledger()
        await ledger.commit(commitments(3, start))
        assert ledger.records_since_checkpoint == start + 2
        await ledger.close()
    ledger = open_ledger()
    await ledger.checkpoint()
    report = await ledger.verify()
    assert (report.records, report.chains, report.checkpoints, report.problems) == (9, 1, 1, ())


async def test_each_writer_has_its_chain(database: Path, signing_key: SigningKey) -> None:
    for start, writer in ((1, "a"), (4, "b"), (7, "a")):
        ledger = SqliteLedger.open(database, writer=writer, signing_key=signing_key, clock=TickingClock())
        await ledger.commit(commitments(3, start))
        await ledger.checkpoint()
        report = await ledger.verify()
        found = await listed(ledger, DecisionQuery("acme"))
        await ledger.close()
    assert (report.records, report.chains, report.checkpoints, report.problems) == (9, 2, 3, ())
    assert [(each.writer, each.sequence) for each in found[:4]] == [("a", 6), ("a", 5), ("a", 4), ("b", 3)]


async def test_durable_when_it_returns(database: Path, ledger: SqliteLedger) -> None:
    await ledger.commit(commitments(2))
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as other:
        assert other.execute("SELECT count(*) FROM audit_records").fetchone() == (2,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    assert isinstance(ledger._writer, SqliteWriter)
    connection = ledger._writer._connection
    assert connection is not None
    full = 2
    await ledger._run(ledger._writing, lambda: None)
    assert connection.execute("PRAGMA synchronous").fetchone() == (full,)


def test_only_the_owner_may_read_the_database(database: Path, ledger: SqliteLedger) -> None:
    assert ledger.records_since_checkpoint == 0
    assert database.stat().st_mode & 0o777 == 0o600


async def test_readers_do_not_wait_for_the_writer(database: Path, ledger: SqliteLedger) -> None:
    await ledger.commit(commitments(1))
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = await ledger.query_decisions(DecisionQuery("acme"))
    report = await ledger.verify()
    other.close()
    assert len(found.decisions) == 1
    assert report.ok


def test_a_second_process_is_refused(database: Path, ledger: SqliteLedger) -> None:
    assert ledger.records_since_checkpoint == 0
    script = (
        "import sys; from pathlib import Path\n"
        "from placet.kernel.errors import ConfigurationError\n"
        "from placet.storage.connections.file_lock import WriterLock\n"
        "try: WriterLock.take(Path(sys.argv[1]))\n"
        "except ConfigurationError as error: print(error)\n"
    )
    other = subprocess.run([sys.executable, "-c", script, database], capture_output=True, text=True, check=True)
    assert f"is in use by process {os.getpid()}; stop that one" in other.stdout


@pytest.mark.parametrize("recreated", [False, True])
async def test_a_second_process_is_refused_although_the_lock_file_was_removed(
    database: Path,
    ledger: SqliteLedger,
    recreated: bool,  # noqa: FBT001
) -> None:
    lock = database.with_name(f"{database.name}.lock")
    lock.unlink()
    if recreated:
        lock.touch()
    said = "process unknown" if recreated else f"another process, whose lock file {lock.name} was removed"
    with pytest.raises(ConfigurationError, match=f"is in use by {said}; stop that one"):
        WriterLock.take(database)
    assert lock.exists() == recreated
    await ledger.commit(commitments(1))
    await ledger.close()
    WriterLock.take(database).release()


async def test_another_key_is_refused(database: Path, open_ledger: Callable[[], SqliteLedger]) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(1))
    await ledger.checkpoint()
    await ledger.close()
    with pytest.raises(ConfigurationError, match="restore that key"):
        SqliteLedger.open(database, writer="w1", signing_key=generate_signing_key(), clock=TickingClock())
    open_ledger()  # and the lock was given back


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE audit_writers SET head_sequence = 2",
        "UPDATE audit_writers SET head_hash = x'00'",
        "DELETE FROM audit_records WHERE sequence = 3",
        "UPDATE audit_checkpoints SET body = x'00'",
    ],
)
async def test_a_changed_end_is_not_built_upon(
    database: Path, open_ledger: Callable[[], SqliteLedger], damage: str
) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    await ledger.checkpoint()
    await ledger.commit(commitments(1, 3))
    await ledger.close()
    with sqlite3.connect(database) as other:
        other.execute(damage)
    other.close()
    with pytest.raises(ConfigurationError, match="changed by other hands"):
        open_ledger()


@pytest.mark.parametrize("make", ["folder", "garbage", "nowhere"])
def test_what_cannot_be_opened(database: Path, open_ledger: Callable[[], SqliteLedger], make: str) -> None:
    match make:
        case "folder":
            database.mkdir()
        case "garbage":
            database.write_bytes(b"no database at all" * 1_000)
        case _:
            database.parent.rmdir()
    with pytest.raises(ConfigurationError, match=str(database)) as caught:
        open_ledger()
    assert "\n" not in str(caught.value)


def test_a_file_system_without_locks(open_ledger: Callable[[], SqliteLedger], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("placet.storage.connections.file_lock.fcntl.flock", fail)
    with pytest.raises(ConfigurationError, match="use a local file system"):
        open_ledger()


async def test_closing_stops_what_is_being_read(ledger: SqliteLedger, errors: list[BaseException]) -> None:
    """More are waiting than there are threads: those that began end in their own way, the others are told."""
    await ledger.commit(commitments(50))
    reads = [asyncio.create_task(ledger.query_decisions(DecisionQuery("acme"))) for _ in range(20)]
    checks = asyncio.create_task(ledger.verify())
    commit = asyncio.create_task(ledger.commit(commitments(50, 51)))
    await asyncio.sleep(0)
    await ledger.close()
    ended = await asyncio.gather(*reads, checks, return_exceptions=True)
    assert {type(each) for each in ended} <= {DecisionPage, VerifyReport, LedgerUnavailableError}
    assert list(await commit) == [Committed()] * 50
    assert all(isinstance(fault, sqlite3.OperationalError | LedgerUnavailableError) for fault in errors)


def test_emptying_the_log_on_closing_is_not_taken_for_a_loss(database: Path, signing_key: SigningKey) -> None:
    writer = SqliteWriter(database, "w1", signing_key, TickingClock())
    create(database)
    prepare(sqlite_url(database))
    writer.open()
    writer.commit(commitments(50))
    writer.finish()
    assert (writer.lost, writer.connected) == ("", False)


async def test_nothing_is_left_behind(open_ledger: Callable[[], SqliteLedger]) -> None:
    process = psutil.Process()
    ledger = open_ledger()
    await ledger.commit(commitments(1))
    await ledger.close()
    threads, files = threading.active_count(), process.num_fds()
    for number in range(2, 12):
        ledger = open_ledger()
        await ledger.commit([commitment(number)])
        await ledger.query_decisions(DecisionQuery("acme"))
        await ledger.verify()
        await ledger.close()
    assert threading.active_count() == threads
    assert process.num_fds() == files
