"""When PostgreSQL, the network or another replica fails: nothing lost, nothing doubled, and recovery by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from placet.audit.records import Committed, DecisionQuery, IdempotentReplay
from placet.kernel.errors import LedgerUnavailableError
from placet.signing.keys import load_or_create_signing_key
from placet.storage.causes import DISK_FULL, READ_ONLY
from placet.storage.connections import postgres as postgres_connect
from placet.storage.connections.postgres import connect
from placet.storage.postgres.offline import verify_url
from tests.postgres import postgres, unprivileged
from tests.storage.making import commitment, commitments, same_request
from tests.storage.mounting import mount
from tests.storage.replicas import Replicas
from tests.tcp_proxy import Proxy, proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from placet.audit.ports import Ledger
    from placet.signing.keys import SigningKey
    from placet.storage.postgres.backend import PostgresLedger
    from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
SMALL_DISK_MIB = 24
"""Room for an empty database, which has 8 MiB, and for some records."""
TABLES = ("audit_records", "audit_writers", "audit_checkpoints", "counters")
KEY_OF = "INSERT INTO idempotency_keys SELECT * FROM kept WHERE idempotency_key = '{}'"
WRITE = """
import asyncio, sys
from pathlib import Path
from placet.signing.keys import load_or_create_signing_key
from placet.storage.postgres.backend import PostgresLedger
from tests.storage.making import TickingClock, commitments

async def write(url, folder, writer, start):
    key = load_or_create_signing_key(Path(folder))
    ledger = PostgresLedger.open(url, writer=writer, signing_key=key, clock=TickingClock())
    for first in range(start, 10**9, 7):
        await ledger.commit(commitments(7, first))
        if first % 3 == 0:
            await ledger.checkpoint()
        print(first + 6, flush=True)

asyncio.run(write(*sys.argv[1:4], int(sys.argv[4])))
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A server that may be stopped and killed."""
    with postgres() as server:
        yield server


@pytest.fixture
async def own(own_server: Postgres, signing_key: SigningKey, errors: list[BaseException]) -> AsyncIterator[Replicas]:
    made = Replicas(own_server, own_server.new_database(), signing_key, errors)
    yield made
    await made.close()


@pytest.fixture
def cutting(postgres_server: Postgres) -> Iterator[Proxy]:
    with proxy(postgres_server.port) as made:
        yield made


@pytest.fixture
def proxied(replicas: Replicas, cutting: Proxy) -> PostgresLedger:
    return replicas.open(url=replicas.server.url(replicas.database, tcp=True, port=cutting.port))


async def check_refused(ledger: Ledger, number: int) -> None:
    with pytest.raises(LedgerUnavailableError) as caught:
        await ledger.commit([commitment(number)])
    said = str(caught.value)
    assert not any(word in said.lower() for word in ("sql", "insert", "connection", "database", "table", "/"))


async def check_whole(ledger: Ledger, records: int) -> None:
    report = await ledger.verify()
    assert (report.records, report.problems) == (records, ())


async def test_a_server_that_is_restarted(own: Replicas) -> None:
    ledger = own.open()
    await ledger.commit(commitments(2))
    await ledger.query_decisions(DecisionQuery("acme"))
    own.server.stop()
    await check_refused(ledger, 3)
    with pytest.raises(LedgerUnavailableError):
        await ledger.query_decisions(DecisionQuery("acme"))
    with pytest.raises(LedgerUnavailableError):
        await ledger.checkpoint()
    own.server.start()
    await ledger.commit([commitment(3)])
    assert len((await ledger.query_decisions(DecisionQuery("acme"))).decisions) == 3
    await check_whole(ledger, 3)


async def test_a_restart_between_two_commits_is_not_noticed(own: Replicas) -> None:
    ledger = own.open()
    await ledger.commit(commitments(2))
    await asyncio.gather(*(ledger.query_decisions(DecisionQuery("acme")) for _ in range(8)))
    own.server.stop()
    own.server.start()
    await ledger.commit([commitment(3)])
    await asyncio.gather(*(ledger.query_decisions(DecisionQuery("acme")) for _ in range(8)))
    await check_whole(ledger, 3)
    assert own.errors == []


async def check_a_server_that_is_killed_under_load(own: Replicas) -> None:
    """What was told as stored is there, and what is there fits together."""
    ledgers = [own.open("a"), own.open("b")]
    told: list[int] = []
    number = iter(range(1, 10**9))
    killing = asyncio.create_task(asyncio.to_thread(own.server.kill))

    async def write(ledger: PostgresLedger) -> None:
        while not killing.done():
            mine = next(number)
            try:
                if list(await ledger.commit([commitment(mine)])) == [Committed()]:
                    told.append(mine)
            except LedgerUnavailableError:
                await asyncio.sleep(0)

    await asyncio.gather(killing, *(write(ledger) for ledger in ledgers for _ in range(4)))
    own.server.start()
    for ledger in ledgers:
        await ledger.commit([commitment(next(number))])
    for each in told:
        assert await ledgers[0].get_decision("acme", f"dec_{each:032x}") is not None
    assert (await ledgers[0].verify()).problems == ()


async def test_a_server_that_is_killed_under_load(own: Replicas) -> None:
    await check_a_server_that_is_killed_under_load(own)


async def test_sessions_that_are_ended_by_an_administrator(replicas: Replicas) -> None:
    ledger = replicas.open()
    for number in range(1, 6):
        await ledger.commit([commitment(number)])
        await ledger.query_decisions(DecisionQuery("acme"))
        replicas.terminate()
    await check_whole(ledger, 5)
    assert replicas.errors == []


@pytest.mark.parametrize("said", [b"BEGIN", b"idempotency_keys", b"UPDATE audit_writers", b"INSERT INTO", b"COMMIT"])
@pytest.mark.parametrize("after", [False, True], ids=["asked", "answered"])
async def test_a_connection_that_is_cut_in_a_commit(
    replicas: Replicas,
    cutting: Proxy,
    proxied: PostgresLedger,
    said: bytes,
    after: bool,  # noqa: FBT001
) -> None:
    """Wherever: the commit is there once, as it was told."""
    cutting.cut_at(said, after=after)
    assert list(await proxied.commit(commitments(3))) == [Committed()] * 3
    assert cutting.cuts == 1
    assert list(await proxied.commit(commitments(3, 4))) == [Committed()] * 3
    await check_whole(proxied, 6)
    assert replicas.errors == []


@pytest.mark.parametrize("after", [False, True], ids=["not stored", "stored"])
async def test_a_commit_in_doubt_and_nobody_to_ask(
    replicas: Replicas,
    cutting: Proxy,
    proxied: PostgresLedger,
    after: bool,  # noqa: FBT001
) -> None:
    """The caller is told that it failed; when he asks again he gets the decision that was stored, if one was."""
    cutting.cut_at(b"COMMIT", after=after)
    cutting.refusing = True
    await check_refused(proxied, 1)
    cutting.refusing = False
    (result,) = await proxied.commit([same_request(1, 2)])
    assert isinstance(result, IdempotentReplay) is after
    await check_whole(proxied, 1)
    assert len(replicas.errors) == 1


async def test_a_checkpoint_whose_answer_is_lost(cutting: Proxy, proxied: PostgresLedger) -> None:
    await proxied.commit(commitments(2))
    cutting.cut_at(b"COMMIT", after=True)
    await proxied.checkpoint()
    report = await proxied.verify()
    assert (cutting.cuts, report.checkpoints, report.problems) == (1, 1, ())


async def test_reads_whose_connection_was_cut(replicas: Replicas, cutting: Proxy, proxied: PostgresLedger) -> None:
    await proxied.commit(commitments(2))
    await asyncio.gather(*(proxied.query_decisions(DecisionQuery("acme")) for _ in range(8)))
    cutting.cut()
    assert len((await proxied.query_decisions(DecisionQuery("acme"))).decisions) == 2
    assert replicas.errors == []


async def hold_key(replicas: Replicas, *numbers: int) -> psycopg.Connection:
    """Another replica that decided the requests and did not commit yet."""
    other = replicas.open("other")
    await other.commit([commitment(number) for number in numbers])
    replicas.server.run("CREATE TABLE kept AS SELECT * FROM idempotency_keys", replicas.database)
    replicas.server.run("DELETE FROM idempotency_keys", replicas.database)
    holder = psycopg.connect(replicas.url)
    holder.execute(KEY_OF.format(f"key-{numbers[0]}").encode())
    return holder


async def test_a_key_that_another_replica_took_meanwhile(replicas: Replicas) -> None:
    ledger = replicas.open()
    holder = await hold_key(replicas, 1)
    committing = asyncio.create_task(ledger.commit([same_request(1, 2), commitment(3)]))
    await replicas.waiting()
    holder.commit()
    holder.close()
    first = commitment(1).decision
    assert first is not None
    assert list(await committing) == [IdempotentReplay(first), Committed()]
    await check_whole(ledger, 2)
    assert replicas.errors == []


async def test_a_key_that_another_replica_gave_up(replicas: Replicas) -> None:
    ledger = replicas.open()
    holder = await hold_key(replicas, 1)
    committing = asyncio.create_task(ledger.commit([same_request(1, 2)]))
    await replicas.waiting()
    holder.rollback()
    holder.close()
    assert list(await committing) == [Committed()]


async def test_a_deadlock_is_nothing_to_callers(replicas: Replicas) -> None:
    ledger = replicas.open()
    holder = await hold_key(replicas, 2, 1)  # the ledger inserts 1, then waits for 2
    committing = asyncio.create_task(ledger.commit([same_request(1, 3), same_request(2, 4)]))
    await replicas.waiting()
    await asyncio.to_thread(holder.execute, KEY_OF.format("key-1").encode())
    holder.commit()
    holder.close()
    assert [type(each) for each in await committing] == [IdempotentReplay, IdempotentReplay]
    await check_whole(ledger, 2)
    assert replicas.errors == []


async def test_a_replica_that_hangs_loses_what_it_locked(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connect, "STORE_IDLE_MS_MAX", 200)
    ledger = replicas.open()
    (await hold_key(replicas, 1)).close()
    hung = connect(replicas.url, "hung", writes=True)
    hung.execute("BEGIN")
    hung.execute(KEY_OF.format("key-1"))
    assert list(await ledger.commit([same_request(1, 2)])) == [Committed()]
    with pytest.raises(psycopg.Error):
        hung.execute("COMMIT")
    hung.close()


async def test_a_lock_that_is_not_given_back(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connect, "STORE_LOCK_MS_MAX", 200)
    ledger = replicas.open()
    holder = await hold_key(replicas, 1)
    await check_refused(ledger, 1)
    holder.rollback()
    holder.close()
    await ledger.commit([commitment(2)])


async def test_a_database_that_became_read_only(replicas: Replicas) -> None:
    ledger = replicas.open()
    await ledger.commit([commitment(1)])
    replicas.server.run(f"ALTER DATABASE {replicas.database} SET default_transaction_read_only = on")
    replicas.terminate()
    await check_refused(ledger, 2)
    assert len((await ledger.query_decisions(DecisionQuery("acme"))).decisions) == 1
    replicas.server.run(f"ALTER DATABASE {replicas.database} RESET default_transaction_read_only")
    await ledger.commit([commitment(2)])
    await check_whole(ledger, 2)


async def test_a_probe_fails_on_a_read_only_database_with_nothing_left_to_sign(replicas: Replicas) -> None:
    """An empty transaction succeeds there, so it says nothing of a commit."""
    ledger = replicas.open()
    await ledger.commit([commitment(1)])
    await ledger.checkpoint()
    await ledger.probe()
    replicas.server.run(f"ALTER DATABASE {replicas.database} SET default_transaction_read_only = on")
    replicas.terminate()
    for _ in range(2):
        with pytest.raises(LedgerUnavailableError) as caught:
            await ledger.probe()
        assert caught.value.known == READ_ONLY
    replicas.server.run(f"ALTER DATABASE {replicas.database} RESET default_transaction_read_only")
    await ledger.probe()
    await ledger.commit([commitment(2)])
    await check_whole(ledger, 2)


async def test_a_probe_fails_where_the_disk_of_the_tables_is_full(
    own_server: Postgres, tmp_path: Path, signing_key: SigningKey, errors: list[BaseException]
) -> None:
    """Also when what is written again has its room already, and nothing is left to sign."""
    with small_database(own_server, tmp_path) as (database, disk):
        made = Replicas(own_server, database, signing_key, errors)
        ledger = made.open()
        await ledger.commit([commitment(1)])
        await ledger.checkpoint()
        ballast = fill(disk)
        stored = await stored_until_refused(ledger)
        for _ in range(2):
            with pytest.raises(LedgerUnavailableError) as caught:
                await ledger.probe()
            assert caught.value.known == DISK_FULL
        ballast.unlink()
        await ledger.probe()
        await ledger.commit([commitment(1_000_000)])
        await check_whole(ledger, 1 + stored + 1)
        await made.close()


async def test_a_probe_leaves_nothing(replicas: Replicas) -> None:
    ledger = replicas.open()
    await ledger.commit([commitment(1)])
    await ledger.checkpoint()
    before = [replicas.server.run(f"SELECT * FROM {each} ORDER BY 1, 2", replicas.database) for each in TABLES]  # noqa: S608 - the test's own words
    for _ in range(3):
        await ledger.probe()
    after = [replicas.server.run(f"SELECT * FROM {each} ORDER BY 1, 2", replicas.database) for each in TABLES]  # noqa: S608 - the test's own words
    assert after == before
    assert replicas.errors == []


@contextlib.contextmanager
def small_database(server: Postgres, folder: Path) -> Iterator[tuple[str, Path]]:
    """A database whose tables are on a file system of a few megabytes; its log is elsewhere."""
    disk, owner = server.folder / f"small-{folder.name}", unprivileged()
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SMALL_DISK_MIB}m", "placet-test", disk)
    database, space = server.new_database(), f"space_{disk.stat().st_dev}"
    try:
        if owner is not None:
            os.chown(disk, owner.pw_uid, owner.pw_gid)
        server.run(f"CREATE TABLESPACE {space} LOCATION '{disk}'")
        server.run(f"ALTER DATABASE {database} SET TABLESPACE {space}")
        yield database, disk
        server.run(f"DROP DATABASE {database} WITH (FORCE)")
        server.run(f"DROP TABLESPACE {space}")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4_096))
    return ballast


async def stored_until_refused(ledger: Ledger) -> int:
    """Commit until there is no room for it; how many records were stored."""
    for number in range(2, 10_000):
        try:
            await ledger.commit([commitment(number)])
        except LedgerUnavailableError:
            return number - 2
    raise AssertionError("never full")


async def test_a_durability_that_was_turned_off_meanwhile(replicas: Replicas) -> None:
    """A session keeps what it began with; a new one is refused."""
    ledger = replicas.open()
    replicas.server.run(f"ALTER DATABASE {replicas.database} SET synchronous_commit = off")
    await ledger.commit([commitment(1)])
    replicas.terminate()
    await check_refused(ledger, 2)


async def test_somebody_wrote_to_the_chain(replicas: Replicas) -> None:
    """It does not fork: it goes on from where it is."""
    ledger = replicas.open()
    await ledger.commit(commitments(2))
    columns = "tenant, writer, sequence, kind, recorded_at_us, body, previous_hash, hash"
    replicas.server.run(
        f"INSERT INTO audit_records ({columns}) SELECT tenant, writer, 3, kind, 0, body, hash, hash "  # noqa: S608 - the test's own words
        "FROM audit_records WHERE sequence = 2; UPDATE audit_writers SET head_sequence = 3",
        replicas.database,
    )
    await check_refused(ledger, 3)
    assert list(await ledger.commit([commitment(3)])) == [Committed()]
    assert (await ledger.verify()).problems != ()
    assert [type(fault).__name__ for fault in replicas.errors] == ["UniqueViolation"]


def start_writing(replicas: Replicas, folder: Path, writer: str, start: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, replicas.url, folder, writer, str(start)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT / 'server'}:{ROOT}"},
    )


async def check_kills_beside_another(replicas: Replicas, folder: Path, times: int) -> None:
    """A replica is killed again and again; the other one goes on, and what either was told is there."""
    key = load_or_create_signing_key(folder)
    other = replicas.open("other", key=key)
    chance = random.Random(times)
    start, mine = 1, 10**6
    for _ in range(times):
        writer = start_writing(replicas, folder, "killed", start)
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 30)):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        mine += 1
        await other.commit([commitment(mine)])
        told = writer.communicate(timeout=10)[0].split()
        last = int(told[-1]) if told else start
        for number in (last, mine):
            assert await other.get_decision("acme", f"dec_{number:032x}") is not None
        start = last + 1_000
    assert verify_url(replicas.url, key.public).problems == ()


async def test_a_killed_replica_blocks_nobody(replicas: Replicas, tmp_path: Path) -> None:
    await check_kills_beside_another(replicas, tmp_path / "keys", 3)
    assert replicas.errors == []


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_killed_two_hundred_times(replicas: Replicas, tmp_path: Path) -> None:
    await check_kills_beside_another(replicas, tmp_path / "keys", 200)


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_server_killed_under_load_twenty_times(
    own_server: Postgres, signing_key: SigningKey, errors: list[BaseException]
) -> None:
    for _ in range(20):
        made = Replicas(own_server, own_server.new_database(), signing_key, errors)
        await check_a_server_that_is_killed_under_load(made)
        await made.close()
