"""Which refused calls are recorded under attack, and that the others are counted."""

from __future__ import annotations

import pytest

from placet.identity.refusal_samples import WINDOW_SECONDS, RefusalSamples
from placet.kernel.limits import (
    REFUSED_ACCESS_RECORDED,
    REFUSED_ACCESS_SOURCES_MAX,
    REFUSED_ACCESS_STRANGERS_RECORDED,
)


class Attack:
    """Refused calls, and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.samples = RefusalSamples(lambda: self.now)

    def by(self, source: str, times: int = 1, reason: str = "R", *, stranger: bool = False) -> list[int]:
        """Return what the records tell that are made."""
        taken = [self.samples.take(source, reason, stranger=stranger) for _ in range(times)]
        return [left_out for left_out in taken if left_out is not None]


@pytest.fixture
def attack() -> Attack:
    return Attack()


def test_a_few_of_each_caller_and_minute_are_recorded(attack: Attack) -> None:
    assert attack.by("a", 100) == [0] * REFUSED_ACCESS_RECORDED
    assert attack.by("b") == [0]
    assert attack.by("a", reason="another") == [0]
    attack.now += WINDOW_SECONDS
    assert attack.by("a", 2) == [100 - REFUSED_ACCESS_RECORDED, 0]


def test_strangers_share_a_bound_and_hide_no_caller(attack: Attack) -> None:
    made = [left_out for n in range(1000) for left_out in attack.by(f"192.0.2.{n}", stranger=True)]
    assert made == [0] * REFUSED_ACCESS_STRANGERS_RECORDED
    assert attack.by("a") == [0]


def test_every_refusal_is_in_a_record_or_counted_by_one(attack: Attack) -> None:
    calls, told = 3 * REFUSED_ACCESS_SOURCES_MAX, 0
    for n in range(calls):
        told += sum(1 + left_out for left_out in attack.by(f"source {n}", stranger=True))
    attack.now += WINDOW_SECONDS
    told += sum(1 + left_out for n in range(calls) for left_out in attack.by(f"source {n}", reason="R"))
    kept = sum(window.left_out for window in attack.samples._windows.values()) + attack.samples._forgotten
    assert told + kept == 2 * calls


def test_the_memory_is_bounded(attack: Attack) -> None:
    for n in range(2 * REFUSED_ACCESS_SOURCES_MAX):
        attack.by(f"source {n}")
    assert len(attack.samples._windows) == REFUSED_ACCESS_SOURCES_MAX


def test_what_could_not_be_recorded_is_counted_by_the_next_record(attack: Attack) -> None:
    attack.by("a", 7)
    attack.now += WINDOW_SECONDS
    [left_out] = attack.by("a")
    attack.samples.put_back(left_out)
    assert attack.by("b") == [left_out + 1]
