"""Permit keys in the database of each engine, and from two replicas on one PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import LedgerUnavailableError
from placet.storage.postgres.offline import verify_url
from placet.storage.sqlite.offline import verify_database
from tests.keys.key_env import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.audit.ports import Ledger
    from placet.signing.keys import SigningKey
    from placet.storage.sqlite.backend import SqliteLedger
    from tests.storage.replicas import Replicas


async def require_rotation(ledger: Ledger) -> None:
    """Create a key, rotate and withdraw, and check what is used."""
    process = Process(ledger)
    await process.start()
    old, new = process.kid(), await process.rotate(after_seconds=1)
    assert process.kids() == [old, new]
    process.advance(1)
    assert process.kid() == new
    assert process.kids() != [await process.rotate(withdraw=True)]
    assert len(process.kids()) == 1


async def test_on_sqlite(
    open_ledger: Callable[[], SqliteLedger], database: Path, signing_key: SigningKey, errors: list[BaseException]
) -> None:
    ledger = open_ledger()
    await require_rotation(ledger)
    await ledger.checkpoint()
    report = verify_database(database, signing_key.public, state=True)
    assert (report.problems, errors) == ((), [])


async def test_on_postgres(replicas: Replicas, signing_key: SigningKey) -> None:
    ledger = replicas.open()
    await require_rotation(ledger)
    await ledger.checkpoint()
    assert verify_url(replicas.url, signing_key.public, state=True).problems == ()


async def test_replicas_that_start_at_once_agree_on_one_key(replicas: Replicas) -> None:
    processes = [Process(replicas.open(writer)) for writer in ("a", "b", "c")]
    await asyncio.gather(*(each.start() for each in processes))
    assert len({tuple(each.kids()) for each in processes}) == 1
    kinds = "SELECT count(*) FROM audit_records WHERE kind = 'permit_key.created'"
    assert replicas.server.run(kinds, replicas.database) == [(1,)]


async def test_rotations_on_two_replicas_at_once_all_count(replicas: Replicas) -> None:
    first, second = Process(replicas.open("a")), Process(replicas.open("b"))
    await asyncio.gather(first.start(), second.start())
    made = await asyncio.gather(*(each.rotate(after_seconds=0) for each in (first, second) for _ in range(4)))
    for each in (first, second):
        await each.keys.renew()
        assert set(made) < set(each.kids())
    assert first.kids() == second.kids()


async def test_a_key_that_nobody_created_is_found(replicas: Replicas, signing_key: SigningKey) -> None:
    ledger = replicas.open()
    process = Process(ledger)
    await process.start()
    await process.rotate()
    await ledger.checkpoint()
    replicas.server.run("UPDATE key_sets SET body = '{\"keys\":[]}'", replicas.database)
    [problem] = verify_url(replicas.url, signing_key.public, state=True).problems
    assert problem.state is not None
    assert (problem.state.table, problem.state.id) == ("key_sets", "permit")


async def test_a_database_that_goes_away_during_a_rotation(replicas: Replicas) -> None:
    process = Process(replicas.open())
    await process.start()
    known = process.kids()
    rotation = asyncio.ensure_future(process.rotate(after_seconds=0))
    await asyncio.sleep(0)
    replicas.terminate()
    try:
        made = [await rotation]
    except LedgerUnavailableError:
        made = []
    await process.keys.renew()
    await process.keys.renew()
    assert process.kids() in ([*known, *made], [known[0], process.kids()[-1]])
    assert process.verifies(process.permit())


@pytest.mark.parametrize("times", [3])
async def test_reads_at_once_end_with_the_newest(replicas: Replicas, times: int) -> None:
    process = Process(replicas.open())
    await process.start()
    for _ in range(times):
        *_, new = await asyncio.gather(process.keys.renew(), process.keys.renew(), process.rotate(after_seconds=0))
        assert process.kids()[-1] == new
