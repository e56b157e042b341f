"""Give-backs: what the outcome of a call returns to the counters that its allow reserved, and the bounds on it.

A report that nothing was executed, that a call failed or that it moved less cannot be checked. So each counter takes
back at most a share of its limit in one window, and a run has a number of reports that give back. What is not taken
back stays counted as used. Two more counters beside each counter hold both amounts: ``given_back:<unit>`` and
``kept:<unit>``. The ledger enforces the bounds like limits of budgets, so they hold for reports at the same time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct, structs

from placet.budgets.holds import measure_of
from placet.budgets.model import Measure, Scope
from placet.kernel import rule_ids
from placet.kernel.limits import GIVE_BACK_PERCENT, GIVE_BACKS_PER_RUN
from placet.kernel.state import ZERO_USAGE, CounterKey, Reserve, Settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.budgets.holds import Hold
    from placet.kernel.state import Usage

GIVE_BACKS: Final = "limits.give_backs"
"""The budget id of the counters of reports that give back, one for each run. No file can name it."""
_GIVEN: Final = "given_back:"
_KEPT: Final = "kept:"
_PERCENT: Final = 100


class GiveBackBounds(Struct, frozen=True):
    """The bounds of a tenant."""

    max_per_run: int = GIVE_BACKS_PER_RUN
    """Reports of one run that give back. A report that only corrects an estimated cost is not one of them."""
    max_percent: int = GIVE_BACK_PERCENT
    """Percentage of a budget's limit that each of its counters takes back in one window."""


class KeptReason(StrEnum):
    """Why an amount was not given back."""

    COUNTS_IN_RUN = "counts_in_run"
    """Each allowed call counts in the limits of calls and repetitions of its run, whether it was executed or not."""
    PERMIT_VALID = "permit_valid"
    """The permit of the call could still be used, and the report did not carry it."""
    RUN_BOUND = "run_bound"
    WINDOW_BOUND = "window_bound"


class GiveBack(NamedTuple):
    """The amounts of one counter that a report would give back, in the counter's unit."""

    counter: CounterKey
    given: int
    kept: int
    reason: KeptReason | None
    """None when nothing was kept."""


def given_back_counter(counter: CounterKey) -> CounterKey:
    """Return the counter of what was given back to a counter. Its value is in `reserved`."""
    return counter._replace(unit=_GIVEN + counter.unit)


def kept_counter(counter: CounterKey) -> CounterKey:
    """Return the counter of what was not given back to a counter. Its value is in `used`."""
    return counter._replace(unit=_KEPT + counter.unit)


def is_beside(unit: str) -> bool:
    """Return whether a unit is that of a counter beside another one."""
    return unit.startswith((_GIVEN, _KEPT))


def run_counter(tenant: str, run_id: str) -> CounterKey | None:
    """Return the counter of a run's reports that give back; None for calls without a run."""
    run = f"{Scope.RUN}:{run_id}"
    return CounterKey(tenant, GIVE_BACKS, Measure.CALLS.value, run, run) if run_id else None


def add_changes(counters: dict[CounterKey, Usage], changes: Iterable[Reserve | Settle]) -> None:
    """Add the changes to running counters."""
    for change in changes:
        usage = counters.get(change.counter, ZERO_USAGE)
        reserved, used = (change.reserved, change.used) if isinstance(change, Settle) else (change.amount, 0)
        counters[change.counter] = structs.replace(usage, reserved=usage.reserved + reserved, used=usage.used + used)


class GiveBacks:
    """The give-backs of one report. Call `give` for each hold, then commit `changes` with the outcome."""

    def __init__(
        self,
        bounds: GiveBackBounds,
        counters: Mapping[CounterKey, Usage],
        run: CounterKey | None,
        *,
        executed: bool,
        permit_valid: bool,
    ) -> None:
        """`executed` is False for the status not_executed. `permit_valid`: the call may still start with its permit."""
        self._bounds = bounds
        self._counters = counters
        self._run = run
        self._executed = executed
        self._permit_valid = permit_valid
        self._uses_run = False
        self._keeps_run = False
        self._changes: list[Reserve | Settle] = []
        self.parts: list[GiveBack] = []

    def give(self, hold: Hold, amount: int) -> int:
        """Return how much of `amount`, which is above 0, the hold's counter takes back. Called once for each hold."""
        return self._take(hold, amount, *self._bounded(hold, amount))

    def give_whole(self, hold: Hold) -> bool:
        """Return whether the hold's counter takes back the whole hold, or nothing. Called once for each hold."""
        given, reason = self._bounded(hold, hold.amount)
        return self._take(hold, hold.amount, given if given == hold.amount else 0, reason) > 0

    def _take(self, hold: Hold, amount: int, given: int, reason: KeptReason) -> int:
        kept = amount - given
        self.parts.append(GiveBack(hold.counter, given, kept, reason if kept else None))
        if given:
            self._uses_run = self._uses_run or not self._is_correction(hold)
            limit = self._room_of_window(hold)
            self._changes.append(Reserve(given_back_counter(hold.counter), given, limit, hold.resets_at_us))
        if kept and reason is not KeptReason.COUNTS_IN_RUN:
            self._changes.append(Settle(kept_counter(hold.counter), 0, kept, hold.resets_at_us))
        return given

    @property
    def given(self) -> bool:
        """Whether anything was given back."""
        return any(part.given for part in self.parts)

    @property
    def refused(self) -> tuple[str, ...]:
        """The sorted ids of the budgets that keep an amount although the outcome did not use it.

        The limits of runs that count each call are not among them.
        """
        bounded = (part for part in self.parts if part.kept and part.reason is not KeptReason.COUNTS_IN_RUN)
        return tuple(sorted({part.counter.budget_id for part in bounded}))

    def changes(self) -> list[Reserve | Settle]:
        """Return the changes of the counters beside. A `Reserve` does not hold once a bound is reached."""
        changes = list(self._changes)
        if self._run is not None and self._uses_run:
            changes.append(Reserve(given_back_counter(self._run), 1, self._bounds.max_per_run))
        elif self._run is not None and self._keeps_run:
            changes.append(Settle(kept_counter(self._run), 0, 1))
        return changes

    def _bounded(self, hold: Hold, amount: int) -> tuple[int, KeptReason]:
        if hold.budget_id.startswith(rule_ids.LIMITS_PREFIX) and measure_of(hold) is Measure.CALLS:
            return 0, KeptReason.COUNTS_IN_RUN
        if self._permit_valid:
            return 0, KeptReason.PERMIT_VALID
        if not self._is_correction(hold) and self._run_is_used_up():
            self._keeps_run = True
            return 0, KeptReason.RUN_BOUND
        given = min(amount, max(0, self._room_of_window(hold) - self._given_to(hold.counter)))
        return given, KeptReason.WINDOW_BOUND

    def _is_correction(self, hold: Hold) -> bool:
        """Return whether a report of the hold's counter only corrects the estimate of a call that was made."""
        return self._executed and measure_of(hold) is Measure.COST

    def _run_is_used_up(self) -> bool:
        return self._run is not None and self._given_to(self._run) >= self._bounds.max_per_run

    def _room_of_window(self, hold: Hold) -> int:
        return hold.limit * self._bounds.max_percent // _PERCENT

    def _given_to(self, counter: CounterKey) -> int:
        return self._counters.get(given_back_counter(counter), ZERO_USAGE).reserved
