"""The figures that the benchmark prints: each measurement beside its floor and its target."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and the least and the greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of one value for each round."""
        every = list(values)
        return cls(statistics.median(every), min(every), max(every))

    @property
    def flat(self) -> bool:
        """Whether there was one value only."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one checkout."""

    name: str
    value: Spread
    unit: str
    floor: float  # median of what the value is compared with
    ratio: Spread | None  # of value to floor, in each round; None for a figure that is compared with nothing
    target: str  # the required ratio or value, "" for none
    reached: bool | None  # None without a target
    checkout: str = ""

    def of(self, checkout: str) -> Line:
        """Return the line with the name of the checkout that was measured."""
        return replace(self, checkout=checkout)


def at_least(name: str, value: float, unit: str, floor: float, factor: float, ratio: float = 0) -> Line:
    """Return a figure whose ratio must be at least `factor`. `ratio` is the median of several turns; 0 computes it."""
    return _compared(name, _one(value), unit, floor, _one(ratio or value / floor), f">= {factor}x")


def at_most(name: str, value: float, unit: str, floor: float, factor: float, ratio: float = 0) -> Line:
    """Return a figure whose ratio must be at most `factor`. `ratio` as in `at_least`."""
    return _compared(name, _one(value), unit, floor, _one(ratio or value / floor), f"<= {factor}x")


def plain(name: str, value: float | Spread, unit: str) -> Line:
    """Return a figure without a target that is compared with nothing."""
    value = value if isinstance(value, Spread) else _one(value)
    return Line(name, value, unit, value.median, None, "", None)


def bounded(name: str, value: float | Spread, unit: str, target: str) -> Line:
    """Return a figure with a target for the value itself, such as ``<= 150``."""
    value = value if isinstance(value, Spread) else _one(value)
    return Line(name, value, unit, value.median, None, target, holds(value.median, target))


def measured(name: str, value: Spread, unit: str, floor: Spread, ratio: Spread, target: str) -> Line:
    """Return a figure that was compared in each round. `target` is for the ratio, such as ``>= 0.45x``, or ""."""
    return _compared(name, value, unit, floor.median, ratio, target)


def holds(value: float, target: str) -> bool | None:
    """Return whether the value meets a target such as ``>= 0.45x``; None for the target ""."""
    if not target:
        return None
    sign, bound = target.removesuffix("x").split()
    return value >= float(bound) if sign == ">=" else value <= float(bound)


def _compared(name: str, value: Spread, unit: str, floor: float, ratio: Spread, target: str) -> Line:
    return Line(name, value, unit, floor, ratio, target, holds(ratio.median, target))


def _one(value: float) -> Spread:
    return Spread(value, value, value)
