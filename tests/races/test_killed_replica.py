"""Servers are killed at any moment under load and started again: no payment is lost, doubled or miscounted."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.races.fleet import Fleet, check_whole
from tests.races.payment_clients import check_expired, check_settled, longest_silence_ms, more, payments
from tests.races.tenant import races_rego

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIGHT, FULL = 3, 100
ANSWERS_MAX = 60
VERIFY_EACH = 10
TTL_SECONDS = 60
SILENCE_MS_MAX = 10_000
"""A replica that starts takes the machine's time from the one that goes on."""


def check_killed_replica(fleet: Fleet, times: int, figure: Callable[[str], None]) -> None:
    """One replica after the other; the other one goes on, if there is one."""
    chance = random.Random()
    with payments(fleet) as clients:
        for number in range(1, times + 1):
            name = fleet.names[number % len(fleet.names)]
            more(clients, chance.randint(1, ANSWERS_MAX))
            fleet.kill(name)
            if number % VERIFY_EACH == 0:
                check_whole(fleet)
            fleet.start(name)
        more(clients, ANSWERS_MAX)
    check_settled(fleet, clients)
    retried, silence = sum(each.tries > 1 for each in clients.replies), longest_silence_ms(clients)
    figure(f"{len(clients.replies)} payments, {retried} asked for more than once, longest silence {silence:.0f} ms")
    assert len(fleet.names) == 1 or silence < SILENCE_MS_MAX
    check_expired(fleet, clients, wait=times == FULL)


def test_killed_on_sqlite(tmp_path: Path, figure: Callable[[str], None]) -> None:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": ""}) as fleet:
        check_killed_replica(fleet, LIGHT, figure)


def test_killed_on_postgres(tmp_path: Path, postgres_url: str, figure: Callable[[str], None]) -> None:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": postgres_url, "b": postgres_url}) as fleet:
        check_killed_replica(fleet, LIGHT, figure)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_a_hundred_times_on_sqlite(tmp_path: Path, figure: Callable[[str], None]) -> None:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": ""}, reservation_ttl_seconds=TTL_SECONDS) as fleet:
        check_killed_replica(fleet, FULL, figure)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_killed_a_hundred_times_on_postgres(tmp_path: Path, postgres_url: str, figure: Callable[[str], None]) -> None:
    urls = {"a": postgres_url, "b": postgres_url}
    with Fleet(tmp_path, races_rego(tmp_path), urls, reservation_ttl_seconds=TTL_SECONDS) as fleet:
        check_killed_replica(fleet, FULL, figure)
