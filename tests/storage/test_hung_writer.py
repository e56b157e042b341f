"""A replica hangs while it sends several statements together, which PostgreSQL's own time-outs do not see."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from placet.audit.records import Committed
from placet.kernel.errors import LedgerUnavailableError
from placet.storage.connections import postgres as postgres_connect
from placet.storage.connections import postgres_locks
from placet.storage.connections.postgres import connect
from placet.storage.connections.postgres_locks import hold_writer
from tests.storage.state_making import change, reserve, usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.storage.postgres.backend import PostgresLedger
    from tests.storage.replicas import Replicas

LOCK = b"SELECT 1 FROM counters FOR UPDATE"


@pytest.fixture
def ledger(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> PostgresLedger:
    monkeypatch.setattr(postgres_connect, "STORE_LOCK_MS_MAX", 400)
    monkeypatch.setattr(postgres_locks, "STORE_IDLE_MS_MAX", 200)
    return replicas.open()


@contextlib.contextmanager
def hanging(url: str, *, writer: bool, sync: bool) -> Iterator[psycopg.Connection]:
    """A session that locked all counters and sent a part of what it had to say. `sync`: it began anew before that."""
    session = connect(url, "hung", writes=True)
    if writer:
        hold_writer(session, "hung", "here")
    session.execute("SET idle_in_transaction_session_timeout = 60000")  # a slow machine is not what is tested
    session.execute("BEGIN")
    pipe = session.driver.pgconn
    pipe.enter_pipeline_mode()
    pipe.send_query_params(LOCK, None)
    if sync:
        pipe.pipeline_sync()
        while (result := pipe.get_result()) is None or result.status != psycopg.pq.ExecStatus.PIPELINE_SYNC:
            pass
    pipe.send_flush_request()
    assert pipe.flush() == 0
    if not sync:
        assert pipe.get_result() is not None, "it has the lock"
    try:
        yield session.driver
    finally:
        session.close()


@pytest.mark.parametrize("sync", [False, True], ids=["within", "between"])
async def test_what_it_locked_is_taken_from_it(
    replicas: Replicas,
    ledger: PostgresLedger,
    sync: bool,  # noqa: FBT001
) -> None:
    await ledger.commit([change(reserve(1))])
    with hanging(replicas.url, writer=True, sync=sync) as hung:
        assert list(await ledger.commit([change(reserve(1))])) == [Committed()]
        assert hung.pgconn.socket
    assert await usage(ledger) == (0, 2)
    assert (await ledger.verify()).problems == ()
    assert replicas.errors == []


async def test_a_session_that_is_none_of_placets_is_left_alone(replicas: Replicas, ledger: PostgresLedger) -> None:
    await ledger.commit([change(reserve(1))])
    with hanging(replicas.url, writer=False, sync=False), pytest.raises(LedgerUnavailableError):
        await ledger.commit([change(reserve(1))])
    await ledger.commit([change(reserve(1))])
    assert await usage(ledger) == (0, 2)
