"""Time never goes behind the newest record of the ledger."""

from __future__ import annotations

import pytest

from placet.app.ledger_clock import FLOOR_UNUSED, LedgerClock
from tests.service.fakes import NOW_US, FixedClock

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
