"""One counter's part of a reservation, and the bound on what one report may count of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from placet.budgets.model import Measure
from placet.kernel.limits import OUTCOME_UNHELD_PERCENT

if TYPE_CHECKING:
    from placet.budgets.model import Unreported
    from placet.kernel.state import CounterKey

NEVER_HELD: Final = 0
"""The factor with which everything that is reported is counted at once."""
_PERCENT: Final = 100
_ESTIMATED: Final = frozenset({Measure.TOKENS, Measure.COST})
"""Measures whose reservation is an estimate. Without an estimate a call reserves 1."""


class Hold(Struct, frozen=True, gc=False):
    """The reserved amount of one counter."""

    counter: CounterKey
    amount: int
    """In the counter's unit."""
    limit: int
    """The budget's limit at the time of the reservation."""
    resets_at_us: int
    unreported: Unreported

    @property
    def budget_id(self) -> str:
        """The budget of the counter."""
        return self.counter.budget_id


class Excess(NamedTuple):
    """The reported amount of one counter that is held for people instead of counted, in the counter's unit."""

    counter: CounterKey
    amount: int
    resets_at_us: int


def measure_of(hold: Hold) -> Measure:
    """Return the measure of the hold's counter."""
    return Measure(hold.counter.unit.partition(":")[0])


def countable(hold: Hold, factor: int) -> int | None:
    """Return the most that one report counts of the hold at once; None for no bound (`factor` NEVER_HELD).

    The bound is `factor` times the reserved amount. For tokens and cost, which are estimates, it is at least
    OUTCOME_UNHELD_PERCENT of the limit.
    """
    if factor == NEVER_HELD:
        return None
    bound = hold.amount * factor
    if measure_of(hold) in _ESTIMATED:
        bound = max(bound, hold.limit * OUTCOME_UNHELD_PERCENT // _PERCENT)
    return bound
