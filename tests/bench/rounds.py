"""Cases that take turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.lines import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Case = Callable[[], Mapping[str, float]]
    """Runs once. Returns measure -> value, such as ``{"per_second": 1380.0}``."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What each case measured in each round."""

    results: Sequence[Mapping[str, Mapping[str, float]]]  # round -> case -> measure -> value

    def spread(self, case: str, measure: str) -> Spread:
        """Return the median, least and greatest of a case over the rounds."""
        return Spread.of(result[case][measure] for result in self.results)

    def ratio(self, case: str, floor: str, measure: str) -> Spread:
        """Return the same of the quotients of two cases, one quotient for each round."""
        return Spread.of(result[case][measure] / result[floor][measure] for result in self.results)


def take_turns(cases: Mapping[str, Case], rounds: int) -> Rounds:
    """Run all cases once to warm them, which does not count, then `rounds` times in turn.

    Every second round goes backwards, so that no case always follows the same one.
    """
    for case in cases.values():
        case()
    order = list(cases)
    results = []
    for number in range(rounds):
        names = order if number % 2 == 0 else order[::-1]
        results.append({name: cases[name]() for name in names})
    return Rounds(results)
