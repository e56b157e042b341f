"""State that several writers share: one after another on SQLite, at the same time on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from placet.audit.records import Committed, Conflict, IdempotentReplay
from placet.kernel.model import Effect
from placet.kernel.state import PutIfVersion, RequireVersion
from placet.storage.sqlite.backend import SqliteLedger
from tests.storage.keys_contract import made_before, replacing
from tests.storage.making import TickingClock, commitment, commitments
from tests.storage.state_making import change, key, numbered, reserve, row, stored_row, usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from placet.audit.ports import Ledger
    from placet.kernel.state import Event
    from placet.signing.keys import SigningKey
    from placet.storage.postgres.backend import PostgresLedger
    from tests.storage.replicas import Replicas

COMMITTED = Committed()
UNITS = 1_000


class Subscription:
    """Reads on from where it was, a little at a time."""

    def __init__(self) -> None:
        self.cursor: dict[str, int] = {}
        self.read: list[str] = []

    async def look(self, ledger: Ledger, limit: int = 3) -> Sequence[Event]:
        found = await ledger.events(self.cursor, limit)
        self.read += [event.subject for event in found]
        self.cursor |= {event.writer: event.sequence for event in found}
        return found

    async def read_on(self, ledger: Ledger) -> None:
        while await self.look(ledger):
            pass


@pytest.fixture
def pair(replicas: Replicas) -> list[PostgresLedger]:
    return [replicas.open(writer) for writer in ("a", "b")]


async def test_a_cursor_goes_on_over_writers_of_one_file(database: Path, signing_key: SigningKey) -> None:
    watcher = Subscription()
    said: list[str] = []
    for writer in ("a", "b", "a", "c"):
        ledger = SqliteLedger.open(database, writer=writer, signing_key=signing_key, clock=TickingClock())
        subjects = [f"{len(said)}-{number}" for number in range(5)]
        said += subjects
        await ledger.commit([change(subject=subject) for subject in subjects])
        await watcher.look(ledger)
        heads = await ledger.chain_heads()
        await watcher.read_on(ledger)
        await ledger.close()
    assert heads == {"a": 10, "b": 5, "c": 5}
    assert watcher.read == said
    assert watcher.cursor == heads


async def test_a_cursor_goes_on_while_replicas_write(pair: list[PostgresLedger]) -> None:
    watcher = Subscription()

    async def write(ledger: PostgresLedger, name: str) -> None:
        for number in numbered(40):
            await ledger.commit([change(subject=f"{name}{number}"), change()])

    writing = [asyncio.ensure_future(write(ledger, name)) for ledger, name in zip(pair, "ab", strict=True)]
    while not all(each.done() for each in writing):
        await watcher.look(pair[0])
    await asyncio.gather(*writing)
    await watcher.read_on(pair[1])
    for name in "ab":
        assert [each for each in watcher.read if each[0] == name] == [f"{name}{number}" for number in numbered(40)]
    assert len(watcher.read) == 80


async def test_an_event_of_one_replica_wakes_those_who_watch_the_other(pair: list[PostgresLedger]) -> None:
    woken = asyncio.Event()
    pair[1].subscribe(woken.set)
    await pair[0].commit([change(subject="apr_1")])
    await asyncio.wait_for(woken.wait(), 5)
    assert [event.subject for event in await pair[1].events_of("acme", "apr_1")] == ["apr_1"]


async def test_a_thousand_units_on_two_replicas(pair: list[PostgresLedger]) -> None:
    granted = 0

    async def client(ledger: PostgresLedger) -> None:
        nonlocal granted
        for _ in range(20):
            results = await ledger.commit([change(reserve(1, UNITS)), change(reserve(2, UNITS))])
            granted += sum(units for units, result in enumerate(results, 1) if result == COMMITTED)

    await asyncio.gather(*(client(pair[number % 2]) for number in range(32)))
    assert granted == UNITS
    assert [await usage(ledger) for ledger in pair] == [(0, UNITS)] * 2
    assert (await pair[0].verify()).ok


async def test_one_of_two_replicas_changes_a_row(pair: list[PostgresLedger]) -> None:
    for version in range(20):
        puts = [PutIfVersion(row(version=version, status=name)) for name in "ab"]
        commits = (ledger.commit([change(put)]) for ledger, put in zip(pair, puts, strict=True))
        results = [result for [result] in await asyncio.gather(*commits)]
        assert sorted(map(type, results), key=str) == [Committed, Conflict]
        found = await stored_row(pair[0])
        assert found is not None
        assert (found.version, found.status) == (version + 1, "ab"[results.index(COMMITTED)])


async def test_one_of_two_replicas_takes_a_key_over(pair: list[PostgresLedger]) -> None:
    await pair[0].commit(commitments(1))
    rivals = [[replacing(2, 1)], [replacing(3, 1)]]
    pairs = zip(pair, rivals, strict=True)
    results = [result for [result] in await asyncio.gather(*(ledger.commit(rival) for ledger, rival in pairs))]
    assert sorted(map(type, results), key=str) == [Committed, IdempotentReplay]
    report = await pair[0].verify()
    assert (report.records, report.problems) == (2, ())


async def test_replicas_sweep_different_keys(pair: list[PostgresLedger]) -> None:
    await pair[0].commit(commitments(60))
    swept = await asyncio.gather(*(pair[number % 2].purge_idempotency_keys(made_before(61), 10) for number in range(8)))
    assert sum(swept) == 60
    assert list(await pair[1].commit([commitment(70, key="key-1", effect=Effect.DENY)])) == [COMMITTED]
    assert (await pair[1].verify()).problems == ()


async def test_what_is_expected_is_looked_at_when_all_locks_are_held(
    replicas: Replicas, pair: list[PostgresLedger]
) -> None:
    """A decision that waits for a busy counter while a kill switch is set does not come through."""
    await pair[0].commit([change(PutIfVersion(row("kill"))), change(reserve(1))])
    expected = RequireVersion(key("kill"), 1)
    with psycopg.connect(replicas.url) as busy:
        busy.execute("SELECT 1 FROM counters FOR UPDATE")
        decided = asyncio.ensure_future(pair[1].commit([change(expected, reserve(1))]))
        await replicas.waiting()
        assert list(await pair[0].commit([change(PutIfVersion(row("kill", 1)))])) == [COMMITTED]
        busy.rollback()
    assert list(await decided) == [Conflict(expected)]
    assert await usage(pair[0]) == (0, 1)
