"""Time never goes behind the newest record of the ledger."""

from __future__ import annotations

import pytest

from placet.kernel.clock import ServerTime
from placet.server.ledger_clock import FLOOR_UNUSED, LedgerClock
from tests.support.fakes import NOW_US, FixedClock

SECOND_US = 1_000_000
BOUND_SECONDS = 60


@pytest.mark.parametrize("back_seconds", [1, 60, 61, 3_600, 86_400])
def test_a_clock_set_back_does_not_take_time_back(back_seconds: int) -> None:
    machine = FixedClock()
    clock = LedgerClock(machine, BOUND_SECONDS)
    clock.follow([NOW_US - 5, NOW_US])
    machine.wall -= back_seconds * SECOND_US
    assert clock.wall_us() == NOW_US
    assert clock.behind_seconds() == back_seconds
    assert clock.skewed() == (back_seconds > BOUND_SECONDS)


def test_time_goes_on_once_the_clock_is_right() -> None:
    machine = FixedClock()
    clock = LedgerClock(machine, BOUND_SECONDS)
    clock.follow([NOW_US + 3_600 * SECOND_US])
    assert clock.skewed()
    machine.wall += 3_601 * SECOND_US
    assert (clock.wall_us(), clock.behind_seconds(), clock.skewed()) == (machine.wall, 0, False)


def test_the_floor_follows_the_newest_record_by_sequence() -> None:
    clock = LedgerClock(FixedClock(), BOUND_SECONDS)
    clock.follow([NOW_US + 3_600 * SECOND_US])
    clock.follow([NOW_US])
    assert clock.wall_us() == NOW_US


def test_an_empty_ledger_has_no_floor() -> None:
    clock = LedgerClock(FixedClock(), BOUND_SECONDS)
    clock.follow([])
    assert clock.wall_us() == NOW_US


def test_without_a_bound_time_is_the_machines_clock() -> None:
    clock = LedgerClock(FixedClock(), FLOOR_UNUSED)
    clock.follow([NOW_US + 3_600 * SECOND_US])
    assert (clock.wall_us(), clock.skewed()) == (NOW_US, False)


def test_an_own_record_raises_the_floor_at_once() -> None:
    machine = FixedClock()
    clock = LedgerClock(machine, BOUND_SECONDS)
    clock.follow([NOW_US])
    clock.recorded(NOW_US + 5)
    clock.follow([NOW_US])
    machine.wall -= 30 * SECOND_US
    assert clock.wall_us() == NOW_US + 5


@pytest.mark.parametrize("ahead_seconds", [0, 30, -30, 90, -90, 172_800, -172_800])
def test_time_is_the_database_servers(ahead_seconds: int) -> None:
    machine = FixedClock()
    clock = LedgerClock(machine, BOUND_SECONDS)
    clock.measure(ServerTime(machine.seconds, NOW_US, machine.seconds))
    machine.wall += ahead_seconds * SECOND_US
    assert (clock.wall_us(), clock.ahead_of_server_seconds()) == (NOW_US, ahead_seconds)
    assert clock.skewed() == (abs(ahead_seconds) > BOUND_SECONDS)
    machine.seconds += 10
    assert clock.wall_us() == NOW_US + 10 * SECOND_US


def test_a_slow_answer_corrects_no_further_than_it_proves() -> None:
    machine = FixedClock()
    clock = LedgerClock(machine, BOUND_SECONDS)
    clock.measure(ServerTime(machine.seconds - 4, NOW_US - 3 * SECOND_US, machine.seconds))
    assert clock.wall_us() == NOW_US
    clock.measure(ServerTime(machine.seconds - 1, NOW_US + SECOND_US, machine.seconds))
    assert clock.wall_us() == NOW_US + SECOND_US


def test_without_a_bound_no_other_clock_is_asked() -> None:
    machine = FixedClock()
    clock = LedgerClock(machine, FLOOR_UNUSED)
    clock.measure(ServerTime(machine.seconds, NOW_US + 3_600 * SECOND_US, machine.seconds))
    clock.recorded(NOW_US + 3_600 * SECOND_US)
    assert (clock.wall_us(), clock.skewed()) == (NOW_US, False)
