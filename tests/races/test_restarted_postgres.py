"""PostgreSQL is restarted or killed under load, or the network cut: replicas recover, accounts balance."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.faults.serving import eventually
from tests.postgres import postgres
from tests.races.fleet import Fleet
from tests.races.payment_clients import check_expired, check_settled, longest_silence_ms, more, payments
from tests.races.tenant import races_rego
from tests.tcp_proxy import proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.postgres import Postgres
    from tests.tcp_proxy import Proxy

FULL = 20
ANSWERS_MAX = 60
CUT_SECONDS_MAX = 3.0
SAID = (b"COMMIT", b"BEGIN", b"INSERT INTO audit_records", b"INSERT INTO idempotency_keys", b"_pg3_")
"""Where a connection is cut: what a new session says at first, and how an older one names what it says often."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A server that may be stopped and killed."""
    with postgres() as server:
        yield server


@pytest.fixture
def own_fleet(own_server: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    url = own_server.url(own_server.new_database())
    with Fleet(tmp_path, races_rego(tmp_path), {"a": url, "b": url}) as fleet:
        yield fleet


def check_restarts(fleet: Fleet, server: Postgres, modes: Sequence[str], figure: Callable[[str], None]) -> None:
    chance = random.Random()
    with payments(fleet) as clients:
        for mode in modes:
            more(clients, chance.randint(1, ANSWERS_MAX))
            if mode == "kill":
                server.kill()
            else:
                server.stop(mode)
            server.start()
            more(clients, ANSWERS_MAX)
        fleet.healthy()
    retried, silence = sum(each.tries > 1 for each in clients.replies), longest_silence_ms(clients)
    figure(f"{len(clients.replies)} payments, {retried} asked for more than once, longest silence {silence:.0f} ms")
    check_settled(fleet, clients)
    check_expired(fleet, clients)


def test_restarted(own_fleet: Fleet, own_server: Postgres, figure: Callable[[str], None]) -> None:
    check_restarts(own_fleet, own_server, ["fast", "immediate"], figure)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_restarted_and_killed_sixty_times(
    own_fleet: Fleet, own_server: Postgres, figure: Callable[[str], None]
) -> None:
    check_restarts(own_fleet, own_server, ["fast", "immediate", "kill"] * FULL, figure)


def check_cuts(tmp_path: Path, server: Postgres, times: int, figure: Callable[[str], None]) -> None:
    """The connections of one replica are cut, at one statement or another, before or after it was done."""
    chance = random.Random()
    database = server.new_database()
    direct = server.url(database)
    with proxy(server.port) as cutting:
        urls = {"a": server.url(database, tcp=True, port=cutting.port), "b": direct}
        with Fleet(tmp_path, races_rego(tmp_path), urls) as fleet, payments(fleet) as clients:
            for number in range(times):
                before = cutting.cuts
                cutting.cut_at(chance.choice(SAID), after=bool(number % 2))
                try:
                    eventually(partial(_cut_since, cutting, before), CUT_SECONDS_MAX)
                except AssertionError:
                    cutting.cut()  # what is not said again by this session is said by the next
                more(clients, chance.randint(1, ANSWERS_MAX))
            fleet.healthy()
            clients.ended.set()
            clients.join()
            figure(f"{len(clients.replies)} payments, {cutting.cuts} cuts in the middle of {times}")
            assert cutting.cuts
            check_settled(fleet, clients, direct)
            check_expired(fleet, clients, direct)


def _cut_since(cutting: Proxy, before: int) -> bool:
    return cutting.cuts > before


def test_cut_off(tmp_path: Path, postgres_server: Postgres, figure: Callable[[str], None]) -> None:
    check_cuts(tmp_path, postgres_server, 4, figure)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_cut_off_forty_times(tmp_path: Path, postgres_server: Postgres, figure: Callable[[str], None]) -> None:
    check_cuts(tmp_path, postgres_server, 40, figure)
