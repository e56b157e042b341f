from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.budgets.windows import ENDLESS, Window, window_at
from tests.support.builders import at

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # midnight did not exist when summer time began
    "Africa/Cairo",  # nor here; and the day goes back into the one before
    "America/Havana",  # midnight twice
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Antarctica/Troll",  # two hours
    "Pacific/Apia",  # a day that never was
]
TIMED = [window for window in Window if window not in ENDLESS]
YEARS = st.integers(at("2001-01-01T00:00:00Z"), at("2037-12-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("window", "timezone", "now", "key", "resets_at"),
    [
        (Window.DAY, "UTC", "2026-03-01T00:00:00Z", "2026-03-01", "2026-03-02T00:00:00Z"),
        (Window.DAY, "UTC", "2026-02-28T23:59:59.999999Z", "2026-02-28", "2026-03-01T00:00:00Z"),
        # a leap day
        (Window.DAY, "UTC", "2028-02-28T12:00:00Z", "2028-02-28", "2028-02-29T00:00:00Z"),
        (Window.DAY, "UTC", "2028-02-29T12:00:00Z", "2028-02-29", "2028-03-01T00:00:00Z"),
        (Window.MONTH, "UTC", "2028-02-29T12:00:00Z", "2028-02", "2028-03-01T00:00:00Z"),
        # ends of months and of the year
        (Window.MONTH, "UTC", "2026-01-31T23:59:59Z", "2026-01", "2026-02-01T00:00:00Z"),
        (Window.MONTH, "UTC", "2026-12-31T23:59:59Z", "2026-12", "2027-01-01T00:00:00Z"),
        (Window.MONTH, "Europe/Berlin", "2026-12-31T23:30:00Z", "2027-01", "2027-01-31T23:00:00Z"),
        (Window.DAY, "America/New_York", "2026-07-01T03:59:59Z", "2026-06-30", "2026-07-01T04:00:00Z"),
        # 23 and 25 hours
        (Window.DAY, "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29", "2026-03-29T22:00:00Z"),
        (Window.DAY, "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25", "2026-10-25T23:00:00Z"),
        # the month that holds the change
        (Window.MONTH, "Europe/Berlin", "2026-10-01T00:00:00Z", "2026-10", "2026-10-31T23:00:00Z"),
        # an hour that comes twice is two hours
        (Window.HOUR, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02+02:00", "2026-10-25T01:00:00Z"),
        (Window.HOUR, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02+01:00", "2026-10-25T02:00:00Z"),
        # an hour that is left out
        (Window.HOUR, "Europe/Berlin", "2026-03-29T00:59:00Z", "2026-03-29T01+01:00", "2026-03-29T01:00:00Z"),
        (Window.HOUR, "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T03+02:00", "2026-03-29T02:00:00Z"),
        # hours begin where the clocks of the zone say so
        (Window.HOUR, "Asia/Kolkata", "2026-05-01T00:15:00Z", "2026-05-01T05+05:30", "2026-05-01T00:30:00Z"),
        (Window.MINUTE, "UTC", "2026-05-01T00:15:59.999999Z", "2026-05-01T00:15+00:00", "2026-05-01T00:16:00Z"),
        (Window.MINUTE, "Asia/Kolkata", "2026-05-01T00:15:00Z", "2026-05-01T05:45+05:30", "2026-05-01T00:16:00Z"),
        # midnight that does not exist: the day begins at one
        (Window.DAY, "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23", "2026-04-23T22:00:00Z"),
        # a day that never was
        (Window.DAY, "Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-29", "2011-12-30T10:00:00Z"),
        (Window.DAY, "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31", "2011-12-31T10:00:00Z"),
    ],
)
def test_a_window_has_its_key_and_its_end(window: Window, timezone: str, now: str, key: str, resets_at: str) -> None:
    assert window_at(window, timezone, at(now)) == (key, at(resets_at))


@pytest.mark.parametrize("window", sorted(ENDLESS))
def test_windows_without_end_are_called_by_their_names(window: Window) -> None:
    assert window_at(window, "Europe/Berlin", at("2026-10-25T01:30:00Z")) == (window.value, 0)


@pytest.mark.parametrize("timezone", ZONES)
@given(now_us=YEARS, window=st.sampled_from(TIMED))
def test_a_window_is_the_same_until_its_end_and_another_from_then_on(
    timezone: str, now_us: int, window: Window
) -> None:
    key, ends_at = window_at(window, timezone, now_us)
    assert ends_at > now_us
    assert window_at(window, timezone, ends_at - 1) == (key, ends_at)
    assert window_at(window, timezone, ends_at)[0] != key


@pytest.mark.parametrize("timezone", ZONES)
def test_no_window_comes_twice_in_the_years_around(timezone: str) -> None:
    now_us, seen = at("2010-01-01T00:00:00Z"), set()
    while now_us < at("2028-01-01T00:00:00Z"):
        key, now_us = window_at(Window.DAY, timezone, now_us)
        assert key not in seen
        seen.add(key)
