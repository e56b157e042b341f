"""What the SQLite writer keeps in memory is what is stored, whoever wrote it, and whatever failed in between."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Committed, Conflict
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.state import ZERO_USAGE, PutIfVersion, ReadSet, RequireVersion, Snapshot, Usage
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.log_mover import LogMover
from placet.storage.state_cache import COUNTERS_HELD_MAX, ROW_BYTES_MAX, ROWS_HELD_MAX, StateCache
from tests.storage.making import START_US, TickingClock
from tests.storage.state_making import COUNTER, change, counter, key, reserve, row, stored_row, usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.signing.keys import SigningKey
    from placet.storage.sql.reader import Reader

SPEND = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("PRAGMA wal_autocheckpoint = 0")  # it would write to the main file, which only the server may
for _ in range(int(sys.argv[2])):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE counters SET reserved = reserved + 1")
    connection.execute("COMMIT")
    time.sleep(0.002)  # SQLite lets nobody else write while one process begins again at once
"""
KEY = ReadSet(rows=[key()], counters=[COUNTER])


@pytest.fixture
def reads(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was read in a reader's thread."""
    read: list[object] = []
    reading = ledger._read

    def counting(work: object) -> object:
        read.append(work)
        return reading(work)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(ledger, "_read", counting)
    return read


def write_directly(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(sql)


async def test_what_was_committed_is_not_read_again(ledger: SqliteLedger, reads: list[object]) -> None:
    await ledger.commit([change(PutIfVersion(row()), reserve(3)), change(reserve(4))])
    assert await usage(ledger) == (0, 7)
    found = await stored_row(ledger)
    assert found is not None
    assert found.version == 1
    assert reads == []


async def test_what_was_read_is_not_read_again(ledger: SqliteLedger, reads: list[object]) -> None:
    """Also that there is nothing: a tenant whose calls are all denied writes no counters."""
    for _ in range(3):
        known = await ledger.load(KEY)
        assert (dict(known.rows), known.usage(COUNTER)) == ({}, ZERO_USAGE)
    assert len(reads) == 1


async def test_what_is_partly_known_is_read_at_once(ledger: SqliteLedger, reads: list[object]) -> None:
    await ledger.commit([change(PutIfVersion(row()), reserve(3)), change(reserve(1, of=counter("user:u_2")))])
    ledger._cache._counters.remove(counter("user:u_2"))
    both = ReadSet(rows=[key(), key("other")], counters=[COUNTER, counter("user:u_2"), counter("user:u_3")])
    known = await ledger.load(both)
    assert [known.usage(each).reserved for each in both.counters] == [3, 1, 0]
    assert list(known.rows) == [key()]
    assert len(reads) == 1


async def test_a_change_that_did_not_hold_is_not_remembered(ledger: SqliteLedger) -> None:
    stale = RequireVersion(key("b"), 5)
    results = await ledger.commit([change(reserve(3)), change(reserve(4), PutIfVersion(row()), stale)])
    assert list(results) == [Committed(), Conflict(stale)]
    assert await usage(ledger) == (0, 3)
    assert await stored_row(ledger) is None


async def test_a_failed_commit_is_forgotten(ledger: SqliteLedger, database: Path) -> None:
    """The transaction fails after all of its changes were made."""
    await ledger.commit([change(reserve(3))])
    write_directly(database, "CREATE TRIGGER no BEFORE INSERT ON audit_records BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(LedgerUnavailableError):
        await ledger.commit([change(reserve(4), PutIfVersion(row()))])
    assert await usage(ledger) == (0, 3)
    assert await stored_row(ledger) is None
    write_directly(database, "DROP TRIGGER no")
    assert list(await ledger.commit([change(reserve(7), PutIfVersion(row()))])) == [Committed()]
    assert await usage(ledger) == (0, 10)


async def test_a_failed_sync_is_forgotten(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    await ledger.commit([change(reserve(3))])

    def fail(*, after_write: bool = False) -> None:
        if after_write:
            raise OSError("the disk failed")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._files._files, "require", fail)
        with pytest.raises(LedgerUnavailableError):
            await ledger.commit([change(reserve(4))])
    stored = await usage(ledger)
    assert stored == (0, 7), "it was committed, although nobody was told"
    assert list(await ledger.commit([change(reserve(4))])) == [Conflict(reserve(4))]


async def test_rows_without_a_record_are_remembered_too(ledger: SqliteLedger) -> None:
    await ledger.commit([change(PutIfVersion(row()))])
    assert await ledger.put_unaudited([row(version=1, status="sent")]) == [True]
    found = await stored_row(ledger)
    assert found is not None
    assert (found.status, found.version) == ("sent", 2)


async def test_a_commit_sees_what_another_connection_wrote(ledger: SqliteLedger, database: Path) -> None:
    await ledger.commit([change(reserve(3), PutIfVersion(row()))])
    write_directly(database, "UPDATE counters SET reserved = 9")
    write_directly(database, "UPDATE approvals SET version = 7")
    too_much, stale = reserve(2), RequireVersion(key(), 1)
    assert list(await ledger.commit([change(too_much), change(stale)])) == [Conflict(too_much), Conflict(stale)]
    assert list(await ledger.commit([change(reserve(1), RequireVersion(key(), 7))])) == [Committed()]
    assert await usage(ledger) == (0, 10)


async def test_two_processes_never_lose_what_the_other_spent(
    open_ledger: Callable[[], SqliteLedger], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each adds one 300 times to the same counter; the ledger commits beside the other process.

    The log is not moved, because a log that another process begins anew is taken for a lost one.
    """
    monkeypatch.setattr(LogMover, "run", lambda _: None)  # before a ledger opens: its first move would do
    ledger = open_ledger()
    await ledger.commit([change(reserve(0, None))])
    spent = 0
    with subprocess.Popen([sys.executable, "-c", SPEND, database, "300"]) as other:  # noqa: ASYNC220 - does not block
        while spent < 300 or other.poll() is None:
            spent += 1
            assert list(await ledger.commit([change(reserve(1, None))])) == [Committed()]
    assert other.returncode == 0
    ledger._cache.drop()
    assert await usage(ledger) == (0, 300 + spent)


async def test_a_shared_file_is_read_for_every_question(database: Path, signing_key: SigningKey) -> None:
    """When another process of the server writes to it, its newest commit is seen at once."""
    ledger = SqliteLedger.open(database, writer="w1", signing_key=signing_key, clock=TickingClock())
    ledger._files.shared = True
    await ledger.commit([change(reserve(3))])
    write_directly(database, "UPDATE counters SET reserved = 9")
    assert await usage(ledger) == (0, 9)
    await ledger.close()


async def test_nothing_is_answered_after_the_end(ledger: SqliteLedger) -> None:
    await ledger.commit([change(reserve(3))])
    await ledger.close()
    with pytest.raises(LedgerUnavailableError):
        await usage(ledger)


async def test_reading_beside_commits_never_goes_back(ledger: SqliteLedger) -> None:
    """What was read before a commit does not replace what that commit published."""
    done = False

    async def look() -> int:
        seen = looks = 0
        while not done:
            ledger._cache._counters.remove(COUNTER)  # as if it had been dropped: read it, and remember it
            _, reserved = await usage(ledger)
            assert reserved >= seen
            seen, looks = reserved, looks + 1
        return looks

    looking = [asyncio.create_task(look()) for _ in range(4)]
    for number in range(1, 201):
        await ledger.commit([change(reserve(1, None))])
        assert (await usage(ledger))[1] == number
    done = True
    assert all(looks > 0 for looks in await asyncio.gather(*looking))


@pytest.mark.parametrize("is_published", [True, False])
async def test_a_partly_known_state_is_of_one_moment(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch, *, is_published: bool
) -> None:
    """Another commit changes all of it while it is read: published in memory before the read ends, or after."""
    other = counter("user:u_2")
    reading, publish = ledger._read, ledger._cache.publish
    may_read, may_publish = threading.Event(), threading.Event()

    def read_late(work: object) -> object:
        assert may_read.wait(20)
        return reading(work)  # type: ignore[arg-type]  # handed on as it came

    def publish_late() -> None:
        may_read.set()
        assert may_publish.wait(20)
        publish()

    await ledger.commit([change(reserve(1), reserve(1, of=other))])
    ledger._cache._counters.remove(other)
    monkeypatch.setattr(ledger, "_read", read_late)
    if not is_published:
        monkeypatch.setattr(ledger._cache, "publish", publish_late)
    loading = asyncio.create_task(ledger.load(ReadSet(counters=[COUNTER, other])))
    await asyncio.sleep(0)
    committing = asyncio.create_task(ledger.commit([change(reserve(5), reserve(5, of=other))]))
    if is_published:
        await committing
        may_read.set()
    known = await loading
    may_publish.set()
    await committing
    assert [known.usage(each).reserved for each in (COUNTER, other)] == [6, 6]


async def test_rows_and_counters_are_of_one_moment(ledger: SqliteLedger, database: Path) -> None:
    await ledger.commit([change(PutIfVersion(row()), reserve(1))])

    def read(reader: Reader) -> tuple[Snapshot, Snapshot]:
        rows = reader.state.read(ReadSet(rows=[key()]))
        write_directly(database, "UPDATE counters SET reserved = 9")
        return rows, reader.state.read(ReadSet(counters=[COUNTER]))

    rows, counters = await ledger._query(read)
    assert (list(rows.rows), counters.usage(COUNTER).reserved) == ([key()], 1)


async def test_an_error_that_ends_the_reading_is_the_one_that_is_raised(ledger: SqliteLedger) -> None:
    def fail(reader: Reader) -> None:
        reader.connection.execute("ROLLBACK", ())  # as SQLite does
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        ledger._read(fail)


def published(cache: StateCache, rows: int = 0, counters: int = 0, *, body: bytes = b"{}") -> None:
    cache.stage(
        {key(f"r{number}"): row(key=key(f"r{number}"), body=body) for number in range(rows)},
        {counter(f"c{number}"): Usage(number, 0, START_US) for number in range(counters)},
    )
    cache.publish()


def test_its_size_is_bound() -> None:
    cache = StateCache()
    cache.begin(1)
    published(cache, ROWS_HELD_MAX * 3, COUNTERS_HELD_MAX * 3)
    for recent, held_max in ((cache._rows, ROWS_HELD_MAX), (cache._counters, COUNTERS_HELD_MAX)):
        held = len(recent._new) + len(recent._old)
        assert held_max // 2 <= held <= held_max
    newest = counter(f"c{COUNTERS_HELD_MAX * 3 - 1}")
    assert cache.counters([newest, counter("c0")]) == {newest: Usage(COUNTERS_HELD_MAX * 3 - 1, 0, START_US)}


def test_what_is_used_stays() -> None:
    cache = StateCache()
    cache.begin(1)
    published(cache, counters=1)
    for _ in range(5):
        assert cache.find(ReadSet(counters=[counter("c0")])).missing == ReadSet([], [])
        cache.stage({}, {counter(f"other{number}"): ZERO_USAGE for number in range(COUNTERS_HELD_MAX // 2)})
        cache.publish()


def test_long_rows_are_not_held() -> None:
    cache = StateCache()
    cache.begin(1)
    published(cache, rows=1)
    assert cache.rows([key("r0")]) == {key("r0"): row(key=key("r0"), body=b"{}")}
    published(cache, rows=1, body=b"x" * (ROW_BYTES_MAX + 1))
    assert cache.rows([key("r0")]) == {}
    found = cache.find(ReadSet(rows=[key("r0")]))
    cache.remember(found, Snapshot({key("r0"): row(key=key("r0"), body=b"x" * (ROW_BYTES_MAX + 1))}, {}))
    assert cache.rows([key("r0")]) == {}


def test_another_version_of_the_data_drops_everything() -> None:
    cache = StateCache()
    cache.begin(1)
    published(cache, rows=1, counters=1)
    cache.begin(1)
    assert cache.counters([counter("c0")])
    cache.begin(2)
    assert not cache.counters([counter("c0")])
    assert not cache.rows([key("r0")])


def test_what_was_read_before_a_commit_is_not_kept() -> None:
    cache = StateCache()
    cache.begin(1)
    found = cache.find(ReadSet(counters=[counter("c0")]))
    cache.stage({}, {counter("c0"): Usage(5, 0, START_US)})
    cache.publish()
    cache.remember(found, Snapshot({}, {}))
    assert cache.counters([counter("c0")]) == {counter("c0"): Usage(5, 0, START_US)}
