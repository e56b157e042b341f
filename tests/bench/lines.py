"""The figures that the benchmark prints: each measurement beside its floor and its target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One figure."""

    name: str
    value: float
    unit: str
    floor: float  # what the value is compared with
    ratio: float  # of value to floor
    target: str  # the required ratio, "" for none
    reached: bool | None  # None without a target


def at_least(name: str, value: float, unit: str, floor: float, factor: float, ratio: float = 0) -> Line:
    """Return a figure whose ratio must be at least `factor`. `ratio` is the median of several turns; 0 computes it."""
    ratio = ratio or value / floor
    return Line(name, value, unit, floor, ratio, f">= {factor}x", ratio >= factor)


def at_most(name: str, value: float, unit: str, floor: float, factor: float, ratio: float = 0) -> Line:
    """Return a figure whose ratio must be at most `factor`. `ratio` as in `at_least`."""
    ratio = ratio or value / floor
    return Line(name, value, unit, floor, ratio, f"<= {factor}x", ratio <= factor)


def plain(name: str, value: float, unit: str) -> Line:
    """Return a figure without a target."""
    return Line(name, value, unit, value, 1.0, "", None)
