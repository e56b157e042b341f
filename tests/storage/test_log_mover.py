"""The write-ahead log is moved into the database beside the commits, stays short, and hides no foreign write."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Committed
from placet.kernel.errors import LedgerUnavailableError
from placet.storage.connections import sqlite as sqlite_files
from placet.storage.connections.file_guard import FilesLostError
from placet.storage.sqlite import log_mover
from placet.storage.sqlite.log_mover import LogMover
from tests.storage.making import commitment, commitments
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.audit.records import Commitment
    from placet.storage.sqlite.backend import SqliteLedger

SECONDS_MAX = 20
KEPT = 256 << 10
PAGE_BYTES = 4_096


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves the log."""
    monkeypatch.setattr(LogMover, "run", lambda _: None)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is moved soon after each commit."""
    monkeypatch.setattr(log_mover, "REST_SECONDS", 0.001)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is long soon."""
    for module in (sqlite_files, log_mover):
        monkeypatch.setattr(module, "WAL_BYTES_KEPT", KEPT)
    monkeypatch.setattr("placet.storage.sqlite.writer.WAL_BYTES_KEPT", KEPT)


def large(number: int) -> Commitment:
    made = commitment(number)
    padded = made.parts["input"][:-1] + b',"padding":"%s"}' % (b"x" * 60_000)
    return replace(made, parts={**made.parts, "input": padded})


def last_write(database: Path) -> tuple[int, int]:
    """Return the length of the main file, and when it was last written to."""
    status = database.stat()
    return (status.st_size, status.st_mtime_ns)


def log_bytes(database: Path) -> int:
    return database.with_name("placet.db-wal").stat().st_size


def stored_alone(database: Path) -> int:
    """Return how many records the main file holds without the log."""
    copy = database.with_name("copy.db")
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        return int(connection.execute("SELECT count(*) FROM audit_records").fetchone()[0])


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not what():  # noqa: ASYNC110 - another thread does it
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("still")
async def test_no_commit_moves_the_log(ledger: SqliteLedger, database: Path) -> None:
    """SQLite itself would do so with the first commit after 1,000 pages."""
    before = last_write(database)
    for number in range(1, 100):
        await ledger.commit([large(number)])
    assert log_bytes(database) > 1_200 * PAGE_BYTES
    assert last_write(database) == before


@pytest.mark.usefixtures("at_once")
async def test_a_commit_is_moved_soon(ledger: SqliteLedger, database: Path) -> None:
    for number in range(1, 4):
        await ledger.commit([commitment(number)])
        await until(lambda stored=number: stored_alone(database) == stored)  # type: ignore[misc]  # bound now
        assert stored_alone(database) == number


@pytest.mark.usefixtures("at_once", "short")
async def test_the_log_stays_short_under_load(
    ledger: SqliteLedger, database: Path, errors: list[BaseException]
) -> None:
    """Commits follow each other without a pause, beside a reader, for 16 MB."""
    longest = 0
    for number in range(1, 251):
        assert list(await ledger.commit([large(number)])) == [Committed()]
        longest = max(longest, log_bytes(database))
        if number % 10 == 0:
            assert await ledger.get_decision("acme", f"dec_{number:032x}") is not None
    assert longest < 16 * KEPT
    assert errors == []
    report = await ledger.verify()
    assert (report.records, report.problems) == (250, ())


@pytest.mark.usefixtures("at_once", "short")
async def test_the_log_is_short_again_after_a_long_reader(
    ledger: SqliteLedger, database: Path, errors: list[BaseException]
) -> None:
    await ledger.commit([commitment(1)])
    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM audit_records").fetchone() == (1,)
        for number in range(2, 30):
            await ledger.commit([large(number)])
        assert log_bytes(database) > 4 * KEPT
    numbers = iter(range(30, 10**6))

    async def commit_one() -> int:
        await ledger.commit([commitment(next(numbers))])
        return log_bytes(database)

    async with asyncio.timeout(SECONDS_MAX):
        while await commit_one() > KEPT:  # noqa: ASYNC110 - another thread does it
            await asyncio.sleep(0.05)
    assert errors == []


@pytest.mark.usefixtures("at_once")
async def test_a_foreign_write_is_found_although_the_log_was_moved(
    ledger: SqliteLedger, database: Path, errors: list[BaseException]
) -> None:
    await ledger.commit([commitment(1)])
    await until(lambda: stored_alone(database) == 1)
    await ledger.commit([commitment(2)])
    await until(lambda: stored_alone(database) == 2)
    await until(lambda: not ledger._files.log_mover.moving.locked())
    await asyncio.sleep(0.02)  # the clock of the file system is coarse
    with database.open("r+b") as file:
        page = file.read(PAGE_BYTES)
        file.seek(0)
        file.write(page)
    with pytest.raises(LedgerUnavailableError):
        await ledger.commit([commitment(3)])
    assert [type(error) for error in errors] == [FilesLostError]
    assert "was written to by another program" in str(errors[0])


@pytest.mark.usefixtures("at_once")
async def test_a_failure_is_reported_and_commits_go_on(
    ledger: SqliteLedger, database: Path, monkeypatch: pytest.MonkeyPatch, errors: list[BaseException]
) -> None:
    def fail(_: sqlite3.Connection) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(log_mover, "move_log", fail)
        await ledger.commit(commitments(2))
        await until(lambda: bool(errors))
        await ledger.commit(commitments(2, 3))
    assert {str(error) for error in errors} == {"disk I/O error"}
    await ledger.commit(commitments(2, 5))
    await until(lambda: stored_alone(database) == 6)


@pytest.mark.usefixtures("at_once")
async def test_nothing_has_the_file_open_after_a_failure(ledger: SqliteLedger) -> None:
    await ledger.commit([commitment(1)])
    await ledger._run(ledger._writing, ledger._writer.close)
    mover = ledger._files.log_mover
    with mover.moving:
        assert mover._connection is None
    await asyncio.sleep(0.05)
    assert mover._connection is None
    await ledger.commit([commitment(2)])
    await until(lambda: mover._connection is not None)


async def test_its_thread_ends_with_the_ledger(ledger: SqliteLedger) -> None:
    await ledger.commit([commitment(1)])
    thread = ledger._files.log_mover._thread
    assert thread is not None
    assert thread.is_alive()
    await ledger.close()
    assert not thread.is_alive()
