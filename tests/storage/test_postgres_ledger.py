from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from placet.audit.records import Committed, DecisionQuery, IdempotencyMismatch, IdempotentReplay
from placet.audit.verification.problems import ProblemKind
from placet.kernel.errors import ConfigurationError
from placet.signing.checkpoint_files import load_pinned_checkpoints
from placet.signing.keys import PublicKeys, generate_signing_key
from placet.storage.connections import postgres as postgres_connect
from placet.storage.postgres.offline import export_url_checkpoints, url_key_ids, verify_url
from tests.storage.ledger_contract import LedgerContract, listed
from tests.storage.making import commitment, commitments, same_request
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.signing.keys import SigningKey
    from placet.storage.postgres.backend import PostgresLedger
    from tests.postgres import Postgres
    from tests.storage.replicas import Replicas


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connect, "STORE_LOCK_MS_MAX", 100)


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    async def ledger(self, replicas: Replicas) -> PostgresLedger:
        return replicas.open()


async def test_it_goes_on_where_it_was_closed(replicas: Replicas) -> None:
    for start in (1, 4, 7):
        ledger = replicas.open()
        await ledger.commit(commitments(3, start))
        assert ledger.records_since_checkpoint == start + 2
        await ledger.close()
    ledger = replicas.open()
    await ledger.checkpoint()
    report = await ledger.verify()
    assert (report.records, report.chains, report.checkpoints, report.problems) == (9, 1, 1, ())


async def test_each_replica_writes_its_own_chain(replicas: Replicas) -> None:
    one, two = replicas.open("a"), replicas.open("b")
    for start in (1, 7, 13):
        await asyncio.gather(one.commit(commitments(3, start)), two.commit(commitments(3, start + 3)))
    await one.checkpoint()
    await two.checkpoint()
    report = await one.verify()
    assert (report.records, report.chains, report.checkpoints, report.problems) == (18, 2, 2, ())
    assert [each.decision.decision_id for each in await listed(two, DecisionQuery("acme", page_size=4))] == [
        f"dec_{number:032x}" for number in range(18, 0, -1)
    ]


async def test_replicas_with_keys_of_their_own(replicas: Replicas, signing_key: SigningKey) -> None:
    other_key = generate_signing_key()
    one = replicas.open("a", keys=PublicKeys.of(other_key.public))
    two = replicas.open("b", key=other_key)
    for start, ledger in enumerate((one, two), 1):
        await ledger.commit([commitment(start)])
        await ledger.checkpoint()
    assert (await one.verify()).ok
    (problem,) = (await two.verify()).problems
    assert (problem.kind, problem.writer) == (ProblemKind.CHECKPOINT_SIGNATURE, "a")
    assert problem.detail.endswith(f"it names the key '{signing_key.key_id}', which was not given")
    assert verify_url(replicas.url, PublicKeys.of(signing_key.public, other_key.public)).ok
    assert not verify_url(replicas.url, other_key.public).ok
    assert url_key_ids(replicas.url) == {"a": signing_key.key_id, "b": other_key.key_id}


async def test_checkpoints_of_all_replicas_are_kept_elsewhere(replicas: Replicas, signing_key: SigningKey) -> None:
    with pytest.raises(ConfigurationError, match="no checkpoint was signed yet"):
        export_url_checkpoints(replicas.url)
    for start, writer in enumerate("ab", 1):
        ledger = replicas.open(writer)
        await ledger.commit([commitment(start)])
        await ledger.checkpoint()
    kept = load_pinned_checkpoints(export_url_checkpoints(replicas.url))
    assert sorted(checkpoint.writer for checkpoint, _ in kept) == ["a", "b"]
    assert verify_url(replicas.url, signing_key.public, kept).ok
    replicas.server.run("DELETE FROM audit_checkpoints WHERE writer = 'a'", replicas.database)
    replicas.server.run("UPDATE audit_records SET body = body || '\\x00' WHERE writer = 'a'", replicas.database)
    kinds = {problem.kind for problem in verify_url(replicas.url, signing_key.public, kept).problems}
    assert {ProblemKind.HASH_MISMATCH, ProblemKind.CHECKPOINT_GAP} <= kinds


def test_a_database_without_a_trail(replicas: Replicas, signing_key: SigningKey) -> None:
    (problem,) = verify_url(replicas.url, signing_key.public).problems
    assert (problem.kind, url_key_ids(replicas.url)) == (ProblemKind.DATABASE_DAMAGED, {})
    replicas.open()
    (problem,) = verify_url(replicas.url, signing_key.public).problems
    assert problem.kind is ProblemKind.NO_RECORDS
    replicas.server.run("DROP TABLE audit_parts", replicas.database)
    (problem,) = verify_url(replicas.url, signing_key.public).problems
    assert problem.detail.endswith("there is no table audit_parts")


async def test_one_key_at_two_replicas_is_decided_once(replicas: Replicas) -> None:
    one, two = replicas.open("a"), replicas.open("b")
    for number in range(1, 200, 4):
        rivals = [same_request(number, number + more) for more in range(4)]
        calls = [ledger.commit([rival]) for ledger, rival in zip((one, two, one, two), rivals, strict=True)]
        results = [result for [result] in await asyncio.gather(*calls)]
        assert results.count(Committed()) == 1
        assert len({each.decision.decision_id for each in results if isinstance(each, IdempotentReplay)}) == 1
    report = await one.verify()
    assert (report.records, report.chains, report.problems) == (50, 2, ())
    assert replicas.errors == []


@pytest.mark.usefixtures("impatient")
async def test_a_name_in_use_is_refused(replicas: Replicas) -> None:
    ledger = replicas.open("a")
    with pytest.raises(
        ConfigurationError, match="another process writes as replica 'a'; stop that one, or give this one"
    ):
        replicas.open("a")
    await ledger.close()
    replicas.open("a")


async def test_another_key_is_refused(replicas: Replicas) -> None:
    ledger = replicas.open()
    await ledger.commit(commitments(1))
    await ledger.checkpoint()
    await ledger.close()
    with pytest.raises(ConfigurationError, match="restore that key"):
        replicas.open(key=generate_signing_key())
    replicas.open()  # and the name was given back


async def test_replicas_that_start_at_once_on_an_empty_database(replicas: Replicas) -> None:
    ledgers = await asyncio.gather(*(asyncio.to_thread(replicas.open, writer) for writer in "abcd"))
    for number, ledger in enumerate(ledgers, 1):
        await ledger.commit([commitment(number)])
    assert (await ledgers[0].verify()).chains == 4


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_commits_that_could_be_lost_are_refused(replicas: Replicas, value: str) -> None:
    replicas.server.run(f"ALTER DATABASE {replicas.database} SET synchronous_commit = {value}")
    with pytest.raises(ConfigurationError, match=f"synchronous_commit is {value}, .*SET synchronous_commit = on"):
        replicas.open()


def test_text_that_could_not_be_kept_is_refused(postgres_server: Postgres, replicas: Replicas) -> None:
    name = f"{replicas.database}_latin"
    postgres_server.run(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(
        ConfigurationError, match="its encoding is LATIN1; make the database with `createdb --encoding=UTF8"
    ):
        replicas.open(url=postgres_server.url(name))


def test_an_old_server_is_refused(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connect, "VERSION_MIN", 990_000)
    with pytest.raises(ConfigurationError, match=r"is PostgreSQL .*, Placet needs 15 or newer; upgrade it"):
        replicas.open()


@pytest.mark.parametrize("url", ["postgresql://placet@127.0.0.1:1/x", "postgresql://placet:hunter2@/x?host=/nowhere"])
def test_a_server_that_is_not_there(replicas: Replicas, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^postgresql://placet@") as caught:
        replicas.open(url=url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        url_key_ids(url)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE audit_writers SET head_sequence = 2",
        "UPDATE audit_writers SET head_hash = '\\x00'",
        "DELETE FROM audit_records WHERE sequence = 3",
        "UPDATE audit_checkpoints SET body = '\\x00'",
    ],
)
async def test_a_changed_end_is_not_built_upon(replicas: Replicas, damage: str) -> None:
    ledger = replicas.open()
    await ledger.commit(commitments(2))
    await ledger.checkpoint()
    await ledger.commit(commitments(1, 3))
    await ledger.close()
    replicas.server.run(damage, replicas.database)
    with pytest.raises(ConfigurationError, match="changed by other hands"):
        replicas.open()


async def test_who_watches_is_woken_by_another_replica(replicas: Replicas) -> None:
    one, two = replicas.open("a"), replicas.open("b")
    woken = asyncio.Event()
    one.subscribe(woken.set)
    for number in (1, 2):
        woken.clear()
        await two.commit([replace(commitment(number), subject=f"dec_{number}")])
        async with asyncio.timeout(10):
            assert await woken.wait()
        replicas.terminate()  # it listens again by itself
        with contextlib.suppress(psycopg.Error):
            await two.verify()


async def test_keys_in_a_different_order_at_two_replicas(replicas: Replicas) -> None:
    one, two = replicas.open("a"), replicas.open("b")
    for start in range(1, 400, 20):
        keys = [f"{start}-{number}" for number in range(10)]
        forward = [commitment(start + number, key=key) for number, key in enumerate(keys)]
        backward = [commitment(start + 10 + number, key=key) for number, key in enumerate(reversed(keys))]
        results = [*await asyncio.gather(one.commit(forward), two.commit(backward))]
        assert sorted(map(str, {type(each) for batch in results for each in batch})) == sorted(
            map(str, (Committed, IdempotencyMismatch))
        )
        assert sum(batch.count(Committed()) for batch in map(list, results)) == 10
    assert replicas.errors == []


async def test_nothing_is_left_behind(replicas: Replicas) -> None:
    process = psutil.Process()
    ledger = replicas.open()
    await ledger.commit(commitments(1))
    await ledger.close()
    threads, files = threading.active_count(), process.num_fds()
    for number in range(2, 6):
        ledger = replicas.open()
        ledger.subscribe(lambda: None)
        await ledger.commit([commitment(number)])
        await ledger.query_decisions(DecisionQuery("acme"))
        await ledger.verify()
        await ledger.close()
    assert threading.active_count() == threads
    assert process.num_fds() == files


async def test_closing_stops_what_is_being_read(replicas: Replicas) -> None:
    ledger = replicas.open()
    await ledger.commit(commitments(1))
    holder = psycopg.connect(replicas.url)
    holder.execute("LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE")
    reads = [asyncio.create_task(ledger.query_decisions(DecisionQuery("acme"))) for _ in range(3)]
    await replicas.waiting(3)
    await ledger.close()
    holder.close()
    ended = await asyncio.gather(*reads, return_exceptions=True)
    assert {type(each).__name__ for each in ended} == {"LedgerUnavailableError"}
