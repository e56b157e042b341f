"""A replica hangs in the middle of a commit: the other one answers, and waits no longer than it must."""

from __future__ import annotations

import contextlib
import signal
import statistics
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from placet.kernel.limits import STORE_IDLE_MS_MAX, STORE_LOCK_MS_MAX
from tests.races.fleet import Fleet
from tests.races.load_clients import Caller, LoadClients, Reply
from tests.races.payment_clients import check_expired, check_settled, more, pay
from tests.races.tenant import PAY, Ask, races_rego

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.serving import Server

IN_A_TRANSACTION = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'placet a' AND state LIKE 'idle in transaction%' AND backend_xid IS NOT NULL
"""
ASKED = 200
P50_MS_MAX = 500
TRIES_MAX = 500
"""Stops until one is in the middle of a commit; under load about every third is."""


@contextlib.contextmanager
def hung(server: Server, clients: LoadClients, database: psycopg.Connection) -> Iterator[None]:
    """The replica is stopped while its transaction holds locks, until the end of the block."""
    for _ in range(TRIES_MAX):
        more(clients, 1)
        server.signal(signal.SIGSTOP)
        if database.execute(IN_A_TRANSACTION.encode()).fetchall() == [(1,)]:
            break
        server.signal(signal.SIGCONT)
    else:
        pytest.fail("never stopped in the middle of a commit")
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


def check_hung_replica(fleet: Fleet, url: str, times: int, figure: Callable[[str], None]) -> None:
    replies: list[Reply] = []
    caller = Caller(fleet.addresses[1:])
    with (
        LoadClients(fleet.addresses[:1], 4, pay) as clients,
        psycopg.connect(url, autocommit=True) as database,
    ):
        waits = []
        for number in range(1, times + 1):
            more(clients, number)
            with hung(fleet.servers["a"], clients, database):
                began = time.monotonic()
                asked = [caller.ask(Ask(PAY, agent="agent_1", minor_units=1)) for _ in range(ASKED)]
                waits.append(1_000 * (asked[0].answered_at - began))
            replies += asked
        more(clients, 10)
    caller.close()
    assert all(each.allowed and each.tries == 1 for each in replies), [each for each in replies if each.tries > 1][:3]
    took = sorted(1_000 * (each.answered_at - each.sent_at) for each in replies)
    figure(
        f"{times} hangs; the other replica: p50 {statistics.median(took):.1f} ms, p99 "
        f"{took[len(took) * 99 // 100]:.1f} ms, longest {took[-1]:.0f} ms; the first call in each "
        f"{min(waits):.0f} to {max(waits):.0f} ms"
    )
    assert statistics.median(took) < P50_MS_MAX
    assert took[-1] < STORE_IDLE_MS_MAX + STORE_LOCK_MS_MAX
    clients.replies += replies
    check_settled(fleet, clients)
    check_expired(fleet, clients)


@pytest.fixture
def fleet(tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": postgres_url, "b": postgres_url}) as made:
        yield made


def test_a_replica_that_hangs(fleet: Fleet, postgres_url: str, figure: Callable[[str], None]) -> None:
    check_hung_replica(fleet, postgres_url, 2, figure)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_replica_that_hangs_again_and_again(fleet: Fleet, postgres_url: str, figure: Callable[[str], None]) -> None:
    check_hung_replica(fleet, postgres_url, 15, figure)
