"""When the disk, the file or another process fails: no decision, no leak of why, and recovery by itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Committed, DecisionQuery
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.storage.causes import DISK_FULL
from placet.storage.connections import sqlite as sqlite_files
from placet.storage.ledger import log_error
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.writer import SqliteWriter
from tests.storage.making import TickingClock, commitment, commitments
from tests.storage.mounting import mount
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from placet.signing.keys import SigningKey

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT_MS", 50)


@pytest.fixture
def not_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer's connection may not write at all."""
    connect = sqlite_files.connect_writer

    def reading(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr("placet.storage.sqlite.writer.connect_writer", reading)


@pytest.fixture
def held(database: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Has another process hold the database's lock, until it ends."""
    holders: list[subprocess.Popen[str]] = []

    def hold() -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD_LOCK, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield hold
    for holder in holders:
        holder.communicate(timeout=10)


def replaced(path: Path, content: bytes) -> None:
    """Another file has the name."""
    other = path.with_name(f"{path.name}.other")
    other.write_bytes(content)
    other.rename(path)


def replaced_by(path: Path, old: bytes) -> None:
    replaced(path, old)


async def check_refused(ledger: SqliteLedger, number: int) -> None:
    with pytest.raises(LedgerUnavailableError) as caught:
        await ledger.commit([commitment(number)])
    said = str(caught.value)
    assert not any(word in said.lower() for word in ("sql", "insert", "disk", "database", "table", "/"))


async def check_whole(ledger: SqliteLedger, records: int) -> None:
    report = await ledger.verify()
    assert (report.records, report.problems) == (records, ())


@pytest.mark.usefixtures("impatient")
async def test_locked_by_another_process(
    open_ledger: Callable[[], SqliteLedger],
    held: Callable[[], subprocess.Popen[str]],
    errors: list[BaseException],
) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    holder = held()
    await check_refused(ledger, 3)
    with pytest.raises(LedgerUnavailableError):
        await ledger.checkpoint()
    assert len((await ledger.query_decisions(DecisionQuery("acme"))).decisions) == 2
    holder.communicate(timeout=10)
    assert list(await ledger.commit([commitment(3)])) == [Committed()]
    await check_whole(ledger, 3)
    assert [type(fault) for fault in errors] == [sqlite3.OperationalError] * 2


@pytest.mark.usefixtures("impatient")
async def test_a_short_wait_for_another_process_is_no_failure(
    open_ledger: Callable[[], SqliteLedger],
    held: Callable[[], subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite_files, "BUSY_TIMEOUT_MS", 10_000)
    ledger = open_ledger()
    holder = held()
    assert holder.stdin is not None
    holder.stdin.close()  # it ends while the commit waits
    holder.stdin = None
    assert list(await ledger.commit([commitment(1)])) == [Committed()]


async def fill_until_refused(ledger: SqliteLedger) -> int:
    """Records that were stored until one was not."""
    stored = 0
    for start in range(1, 100_000, 10):
        try:
            results = await ledger.commit(commitments(10, start))
        except LedgerUnavailableError:
            return stored
        stored += results.count(Committed())
    raise AssertionError("never full")


async def test_a_full_disk(small_disk: Path, signing_key: SigningKey, errors: list[BaseException]) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    ledger = SqliteLedger.open(
        small_disk / "placet.db", writer="w1", signing_key=signing_key, clock=TickingClock(), on_error=errors.append
    )
    stored = await fill_until_refused(ledger)
    assert stored > 20
    await check_refused(ledger, 100_000)
    ballast.unlink()
    assert list(await ledger.commit([commitment(100_000)])) == [Committed()]
    await check_whole(ledger, stored + 1)
    await ledger.close()
    assert {type(fault) for fault in errors} == {sqlite3.OperationalError}


async def test_a_probe_fails_on_a_full_disk_where_nothing_is_left_to_sign(
    small_disk: Path, signing_key: SigningKey
) -> None:
    """An empty transaction succeeds there, so it says nothing of a commit."""
    ledger = SqliteLedger.open(small_disk / "placet.db", writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.commit(commitments(3))
    await ledger.checkpoint()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    await ledger.checkpoint()
    with pytest.raises(LedgerUnavailableError) as caught:
        await ledger.probe()
    assert caught.value.known == DISK_FULL
    ballast.unlink()
    await ledger.probe()
    await ledger.close()


async def test_a_file_that_may_not_grow(
    open_ledger: Callable[[], SqliteLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in the commit the room runs out."""
    connect = sqlite_files.connect_writer
    pages = 60

    def small(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr("placet.storage.sqlite.writer.connect_writer", small)
    ledger = open_ledger()
    stored = await fill_until_refused(ledger)
    for pages in range(60, 90):
        try:
            stored += list(await ledger.commit(commitments(3, 10_000 + 10 * pages))).count(Committed())
        except LedgerUnavailableError:
            continue
    pages = 100_000
    await ledger._run(ledger._writing, ledger._writer.close)
    await ledger.commit([commitment(1_000_000)])
    await check_whole(ledger, stored + 1)


async def test_a_file_system_that_became_read_only(
    small_disk: Path, signing_key: SigningKey, errors: list[BaseException]
) -> None:
    ledger = SqliteLedger.open(
        small_disk / "placet.db", writer="w1", signing_key=signing_key, clock=TickingClock(), on_error=errors.append
    )
    await ledger.commit(commitments(2))
    await ledger._run(ledger._writing, ledger._writer.close)  # a file open for writing would forbid the remount
    ledger._lock.release()
    mount("-o", "remount,ro", small_disk)
    await check_refused(ledger, 3)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        SqliteLedger.open(small_disk / "placet.db", writer="w1", signing_key=signing_key, clock=TickingClock())
    mount("-o", "remount,rw", small_disk)
    ledger._lock = type(ledger._lock).take(small_disk / "placet.db")
    await ledger.commit([commitment(3)])
    await check_whole(ledger, 3)
    await ledger.close()
    assert len(errors) == 1


async def test_a_file_that_was_moved_away(database: Path, open_ledger: Callable[[], SqliteLedger]) -> None:
    """What nobody will find again is not durable."""
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    shutil.move(database, f"{database}.moved")
    await check_refused(ledger, 3)
    await check_refused(ledger, 3)
    shutil.move(f"{database}.moved", database)
    await ledger.commit([commitment(3)])
    await check_whole(ledger, 3)


@pytest.mark.parametrize("closed", [False, True])
async def test_a_file_that_was_replaced_by_an_older_copy(
    database: Path,
    open_ledger: Callable[[], SqliteLedger],
    errors: list[BaseException],
    closed: bool,  # noqa: FBT001 - whether the writer happens to have given its connection back
) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    await ledger.close()
    shutil.copy(database, database.with_name("backup.db"))
    ledger = open_ledger()
    await ledger.commit(commitments(1, 3))
    if closed:
        await ledger._run(ledger._writing, ledger._writer.close)
    database.with_name("backup.db").rename(database)
    for number in (4, 5):
        await check_refused(ledger, number)
    assert f"{database}: was replaced while the server runs" in str(errors[0])
    with pytest.raises(LedgerUnavailableError):
        await ledger.query_decisions(DecisionQuery("acme"))


async def test_a_file_that_was_overwritten_by_an_older_copy_while_it_was_closed(
    database: Path, open_ledger: Callable[[], SqliteLedger], errors: list[BaseException]
) -> None:
    """The file is the same one, and what it holds is not: a failed commit gives the connection back."""
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    await ledger.close()
    shutil.copyfile(database, f"{database}.older")
    ledger = open_ledger()
    await ledger.commit(commitments(1, 3))
    await ledger._run(ledger._writing, ledger._writer.close)
    shutil.copyfile(database, f"{database}.newest")
    shutil.copyfile(f"{database}.older", database)
    for number in (4, 5):
        await check_refused(ledger, number)
    assert "record 3 of w1 was acknowledged and is not in it, the chain ends at 2" in str(errors[0])
    assert "placet db new-trail --reason" in str(errors[0])
    shutil.copyfile(f"{database}.newest", database)
    await ledger.commit(commitments(1, 4))
    await check_whole(ledger, 4)


def overwrite(path: Path, content: bytes) -> None:
    """As `cp` does it: the same file, another content."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


LOSSES: dict[str, tuple[str, str, Callable[[Path, bytes], object]]] = {
    "the log is removed": ("placet.db-wal", "was removed", lambda path, _: path.unlink()),
    "the log is replaced by an empty one": ("placet.db-wal", "was replaced", lambda path, _: replaced(path, b"")),
    "the log is replaced by its copy": ("placet.db-wal", "was replaced", replaced_by),
    "the log is cut off": ("placet.db-wal", "was cut off", lambda path, _: os.truncate(path, 0)),
    "the log is cut in the middle": ("placet.db-wal", "was cut off", lambda path, _: os.truncate(path, 5_000)),
    "the log is overwritten": ("placet.db-wal", "was overwritten", lambda path, old: overwrite(path, b"x" * len(old))),
    "the log's index is removed": ("placet.db-shm", "was removed", lambda path, _: path.unlink()),
    "the log's index is replaced": ("placet.db-shm", "was replaced", replaced_by),
    "the database is replaced by its copy": ("placet.db", "was replaced", replaced_by),
    "the database is overwritten": ("placet.db", "was written to by another program", overwrite),
    "the database is cut off": ("placet.db", "was cut off", lambda path, _: os.truncate(path, 4_096)),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_file_is_noticed_before_a_commit_is_told(
    database: Path, open_ledger: Callable[[], SqliteLedger], errors: list[BaseException], loss: str
) -> None:
    name, what, lose = LOSSES[loss]
    ledger = open_ledger()
    await ledger.commit(commitments(20))
    path = database.with_name(name)
    lose(path, path.read_bytes())
    for number in (21, 22):
        await check_refused(ledger, number)
    assert {str(fault).partition(";")[0] for fault in errors} == {f"{path}: {what} while the server runs"}
    await ledger.close()


@pytest.mark.parametrize(
    ("lose", "what"), [(lambda path, _: path.unlink(), "was removed"), (replaced_by, "was replaced")]
)
async def test_a_lost_file_tells_of_the_lock_file_that_was_lost_before_it(
    database: Path,
    open_ledger: Callable[[], SqliteLedger],
    errors: list[BaseException],
    lose: Callable[[Path, bytes], object],
    what: str,
) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    lock = database.with_name(f"{database.name}.lock")
    lose(lock, lock.read_bytes())
    await ledger.commit(commitments(1, 3))
    with sqlite3.connect(database) as other:
        other.execute("PRAGMA user_version = 7")
        other.execute("PRAGMA wal_checkpoint")
    other.close()
    await check_refused(ledger, 4)
    assert f"was written to by another program while the server runs, and its lock file {lock} {what}" in str(errors[0])
    await ledger.close()


@pytest.mark.parametrize("name", ["placet.db-wal", "placet.db-shm"])
async def test_what_stood_in_a_lost_log_is_saved(
    database: Path, open_ledger: Callable[[], SqliteLedger], errors: list[BaseException], name: str
) -> None:
    """The log is gone from its folder, but the server still has it open: nothing that was told is lost."""
    ledger = open_ledger()
    await ledger.commit(commitments(20))
    database.with_name(name).unlink()
    await check_refused(ledger, 21)
    copy = database.with_name("copy.db")
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM audit_records").fetchone()
    assert count in {20, 21}
    assert errors


async def test_a_log_that_is_moved_back_in_time_is_no_loss(
    database: Path, open_ledger: Callable[[], SqliteLedger]
) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(2))
    shutil.move(database, f"{database}.away")
    await check_refused(ledger, 3)
    shutil.move(f"{database}.away", database)
    await ledger.commit([commitment(3)])
    await check_whole(ledger, 3)


async def test_a_copy_of_the_database_alone_is_whole_after_a_clean_stop(
    database: Path, open_ledger: Callable[[], SqliteLedger]
) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(20))
    await ledger.query_decisions(DecisionQuery("acme"))  # a reader is open, too
    await ledger.close()
    wal = database.with_name("placet.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    copy = database.with_name("copy.db")
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM audit_records").fetchone() == (20,)


async def test_the_log_is_cut_after_a_burst(open_ledger: Callable[[], SqliteLedger]) -> None:
    ledger = open_ledger()
    await ledger.commit(commitments(1))
    limit = await ledger._run(ledger._writing, lambda: journal_size_limit(ledger))
    assert limit == sqlite_files.WAL_BYTES_KEPT


def journal_size_limit(ledger: SqliteLedger) -> object:
    writer = ledger._writer
    assert isinstance(writer, SqliteWriter)
    assert writer._connection is not None
    return writer._connection.execute("PRAGMA journal_size_limit").fetchone()[0]


async def test_a_commit_that_fails_at_the_end_is_never_told_as_stored(
    open_ledger: Callable[[], SqliteLedger], monkeypatch: pytest.MonkeyPatch, errors: list[BaseException]
) -> None:
    class FailingConnection(sqlite_files.SqliteConnection):
        """Fails each statement after the given number, once."""

        left = 10**9

        def _step(self, sql: object) -> None:
            FailingConnection.left -= "wal_checkpoint" not in str(sql)  # of another thread
            if FailingConnection.left == 0:
                raise sqlite3.OperationalError("disk I/O error")

        def execute(self, *arguments: object) -> sqlite3.Cursor:
            self._step(arguments[0])
            return super().execute(*arguments)  # type: ignore[arg-type]  # handed on as it came

        def executemany(self, *arguments: object) -> sqlite3.Cursor:
            self._step(arguments[0])
            return super().executemany(*arguments)  # type: ignore[arg-type]  # handed on as it came

    connect = sqlite3.connect

    def failing(*arguments: object, **options: object) -> sqlite3.Connection:
        return connect(*arguments, **{**options, "factory": FailingConnection})  # type: ignore[call-overload,no-any-return]  # handed on as it came

    monkeypatch.setattr("placet.storage.connections.sqlite.sqlite3.connect", failing)
    ledger = open_ledger()
    stored = refusals = 0
    for step in range(1, 12):  # BEGIN, a pragma, a look-up, the head, three inserts, COMMIT
        stored += list(await ledger.commit([commitment(step)])).count(Committed())
        FailingConnection.left = step
        try:
            results = await ledger.commit(commitments(2, step * 100))
        except LedgerUnavailableError:
            refusals += 1
        else:
            stored += results.count(Committed())
        FailingConnection.left = 10**9
        await check_whole(ledger, stored)
    assert refusals == 8, "one for each statement"
    assert len(errors) == refusals


async def test_another_writer_of_the_same_chain(
    open_ledger: Callable[[], SqliteLedger], errors: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system whose locks do nothing: the chain does not fork, it goes on from where it is."""
    monkeypatch.setattr("placet.storage.connections.file_lock.fcntl.flock", lambda _descriptor, _operation: None)
    one = open_ledger()
    await one.commit(commitments(2))
    other = open_ledger()
    await other.commit(commitments(2, 3))
    await check_refused(one, 5)
    await one.commit([commitment(5)])
    await check_whole(one, 5)
    assert [type(fault).__name__ for fault in errors] == ["ChainMovedError"]


async def test_what_cannot_be_written_down_is_refused_alone(ledger: SqliteLedger, errors: list[BaseException]) -> None:
    await ledger.commit([commitment(1)])
    with pytest.raises(LedgerUnavailableError):
        await ledger.commit([replace(commitment(2), recorded_at_us=2**63)])
    await ledger.commit([commitment(3)])
    await check_whole(ledger, 2)
    assert len(errors) == 1


async def test_a_disk_that_is_full_from_the_start(small_disk: Path, signing_key: SigningKey) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(950_000))
    path = small_disk / "placet.db"
    with pytest.raises(ConfigurationError, match=str(path)):
        SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    ballast.unlink()
    ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.commit(commitments(1))
    await ledger.close()


@pytest.mark.usefixtures("not_writing")
def test_the_chain_cannot_be_begun(database: Path, signing_key: SigningKey) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened for writing"):
        SqliteLedger.open(database, writer="w1", signing_key=signing_key, clock=TickingClock())


async def test_reading_recovers(ledger: SqliteLedger, errors: list[BaseException]) -> None:
    await ledger.commit([commitment(1)])
    await ledger.query_decisions(DecisionQuery("acme"))
    ledger._idle_readers[0].close()
    with pytest.raises(LedgerUnavailableError):
        await ledger.query_decisions(DecisionQuery("acme"))
    assert len((await ledger.query_decisions(DecisionQuery("acme"))).decisions) == 1
    assert len(errors) == 1


def test_by_default_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    log_error(sqlite3.OperationalError("disk I/O error"))
    assert "disk I/O error" in caplog.text
