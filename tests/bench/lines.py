"""What the benchmark prints: figures beside what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: a measurement, what it is compared with, and what is to be reached."""

    name: str
    value: float
    unit: str
    floor: float
    ratio: float
    target: str
    reached: bool | None


def at_least(name: str, value: float, unit: str, floor: float, factor: float, ratio: float = 0) -> Line:
    """A figure that should be at least so many times its floor. `ratio` is that of several turns, if there were any."""
    ratio = ratio or value / floor
    return Line(name, value, unit, floor, ratio, f">= {factor}x", ratio >= factor)


def at_most(name: str, value: float, unit: str, floor: float, factor: float, ratio: float = 0) -> Line:
    """A figure that should be at most so many times its floor. `ratio` as in `at_least`."""
    ratio = ratio or value / floor
    return Line(name, value, unit, floor, ratio, f"<= {factor}x", ratio <= factor)


def plain(name: str, value: float, unit: str) -> Line:
    """A figure to look at."""
    return Line(name, value, unit, value, 1.0, "", None)
