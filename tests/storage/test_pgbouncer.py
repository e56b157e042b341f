"""PgBouncer before PostgreSQL: session mode works, other modes are refused before anything is set or written."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from placet.kernel.errors import ConfigurationError
from placet.storage.connections import postgres as postgres_connect
from placet.storage.connections import postgres_pooler
from placet.storage.postgres.offline import find_trail_at_url, require_fit
from tests.pgbouncer import pgbouncer
from tests.storage.making import commitment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.pgbouncer import PgBouncer
    from tests.postgres import Postgres
    from tests.storage.replicas import Replicas

REFUSED: Final = (
    r"is behind a pooler in transaction mode, .* connect to PostgreSQL directly, or set .*pool_mode = session"
)
LEAKED: Final = ("statement_timeout", "lock_timeout", "default_transaction_read_only", "enable_seqscan", "jit")


@pytest.fixture(scope="module")
def splitting(postgres_server: Postgres) -> Iterator[PgBouncer]:
    with pgbouncer(postgres_server, "transaction") as pooler:
        yield pooler


@pytest.fixture(scope="module")
def whole(postgres_server: Postgres) -> Iterator[PgBouncer]:
    with pgbouncer(postgres_server, "session") as pooler:
        yield pooler


@contextlib.contextmanager
def busy(url: str, clients: int = 4) -> Iterator[None]:
    """Let other clients use the pooler without a pause."""
    ended = threading.Event()

    def use() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as session:
            while not ended.is_set():
                session.execute("SELECT 1")

    using = [threading.Thread(target=use) for _ in range(clients)]
    for thread in using:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in using:
            thread.join(30)


def test_transaction_mode_is_refused_and_nothing_is_left_in_its_sessions(
    replicas: Replicas, splitting: PgBouncer
) -> None:
    url = splitting.url(replicas.database)
    before = settings_at(url)
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=REFUSED):
            require_fit(url)
        with pytest.raises(ConfigurationError, match=REFUSED):
            find_trail_at_url(url, [], [])
        with pytest.raises(ConfigurationError, match=REFUSED):
            replicas.open(url=url)
    assert settings_at(url) == before


def settings_at(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as session:
        rows = [session.execute(f"SHOW {name}".encode()).fetchone() for name in LEAKED]
    return [str(row[0]) for row in rows if row is not None]


@pytest.mark.parametrize("settings", [{}, {"server_round_robin": 1}, {"default_pool_size": 1}])
def test_it_is_found_while_others_use_the_pooler(
    postgres_server: Postgres, replicas: Replicas, settings: dict[str, int]
) -> None:
    with pgbouncer(postgres_server, "transaction", **settings) as pooler:
        url = pooler.url(replicas.database)
        with busy(url):
            for _ in range(10):
                with pytest.raises(ConfigurationError, match=REFUSED):
                    replicas.open(url=url)


def test_without_the_check_two_replicas_would_have_one_name(
    replicas: Replicas, splitting: PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why transaction mode is refused: the second writer shares the session that holds the first one's lock."""
    monkeypatch.setattr(postgres_connect, "require_own_session", lambda *_: None)
    url = splitting.url(replicas.database)
    replicas.open("a", url=url)
    replicas.open("a", url=url)
    assert len(replicas.opened) == 2


async def test_session_mode_works(replicas: Replicas, whole: PgBouncer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in use is refused, the name of one that ended is free, and a replica hears of the records of others."""
    monkeypatch.setattr(postgres_connect, "STORE_LOCK_MS_MAX", 400)
    url = whole.url(replicas.database)
    one, two = replicas.open("a", url=url), replicas.open("b", url=url)
    with pytest.raises(ConfigurationError, match="another process writes as replica 'a'"):
        replicas.open("a", url=url)
    heard = asyncio.Event()
    two.subscribe(heard.set)
    await asyncio.wait_for(heard.wait(), 30)  # the listener's first look
    for number in range(1, 20):  # more often than the driver needs to prepare its statements
        heard.clear()
        await one.commit([commitment(number)])
        await two.commit([commitment(100 + number)])
        await asyncio.wait_for(heard.wait(), 30)
    await one.close()
    again = replicas.open("a", url=url)
    await again.commit([commitment(99)])
    report = await again.verify()
    assert (report.records, report.chains, report.problems) == (39, 2, ())
    assert replicas.errors == []


async def test_a_pooler_that_changes_its_mode_is_found_when_the_writer_connects_again(
    postgres_server: Postgres, replicas: Replicas
) -> None:
    """Its URL was whole before."""
    with pgbouncer(postgres_server, "session") as pooler:
        url = pooler.url(replicas.database)
        ledger = replicas.open("a", url=url)
        await ledger.close()
    assert postgres_pooler.is_known_whole(url)
    with pgbouncer(postgres_server, "transaction", pooler.port), pytest.raises(ConfigurationError, match=REFUSED):
        replicas.open("a", url=url)
