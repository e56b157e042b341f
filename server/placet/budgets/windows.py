"""The time windows of budgets: their keys and their ends, by the calendar of a time zone.

Windows tumble: a day ends at midnight in the budget's time zone, and a month with its last day. Changes of local time
are respected: a day may have 23 or 25 hours, and an hour that is repeated has two windows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_MINUTE_US: Final = 60_000_000
_DECEMBER: Final = 12
_HOUR_CHARS: Final = len("2026-10-25T02")
_MINUTE_CHARS: Final = len("2026-10-25T02:30")
_ZONE_CACHE: Final = 4_096


class Window(StrEnum):
    """How long a budget counts before it starts at zero again."""

    RUN = "run"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    LIFETIME = "lifetime"


ENDLESS: Final = frozenset({Window.RUN, Window.LIFETIME})
"""Windows that do not end with time."""
_DATE_CHARS: Final = {Window.DAY: len("2026-10-25"), Window.MONTH: len("2026-10")}


def window_at(window: Window, timezone: str, now_us: int) -> tuple[str, int]:
    """Return the key of the window that `now_us` is in, and when the next window starts in microseconds (0: never).

    Keys are in local time: ``2026-10-25``, ``2026-10``. Keys of hours and minutes have the offset, because an hour can
    come twice: ``2026-10-25T02+02:00``, ``2026-10-25T02:30+02:00``. The key of a window without an end is its name.
    """
    if window in ENDLESS:
        return window.value, 0
    key, ends_at = _bounds(window, timezone, now_us // _MINUTE_US)
    return key, ends_at * _MINUTE_US


@lru_cache(maxsize=_ZONE_CACHE)
def _bounds(window: Window, timezone: str, minute: int) -> tuple[str, int]:
    """Return the key and the end of the window, in minutes since the epoch: offsets change at whole minutes."""
    zone = ZoneInfo(timezone)
    key = _key(window, zone, minute)
    ends_at = _next(window, zone, minute)
    if _key(window, zone, ends_at - 1) == key:
        return key, ends_at
    low, high = minute, ends_at  # the offset changes in between: search for the end of the window
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _key(window, zone, middle) == key else (low, middle)
    return key, high


def _local(zone: ZoneInfo, minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, zone)


def _key(window: Window, zone: ZoneInfo, minute: int) -> str:
    local = _local(zone, minute).isoformat(timespec="minutes")  # 2026-10-25T02:30+02:00
    if window is Window.HOUR:
        return local[:_HOUR_CHARS] + local[_MINUTE_CHARS:]
    return local[: _DATE_CHARS.get(window)]


def _next(window: Window, zone: ZoneInfo, minute: int) -> int:
    """Return when the next window starts by the local calendar if the offset does not change before."""
    if window is Window.MINUTE:
        return minute + 1
    local = _local(zone, minute)
    if window is Window.HOUR:
        return minute + 60 - local.minute
    if window is Window.DAY:
        day = local.date() + timedelta(days=1)
    else:
        year, month = (local.year + 1, 1) if local.month == _DECEMBER else (local.year, local.month + 1)
        day = local.date().replace(year=year, month=month, day=1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(midnight.timestamp()) // 60
