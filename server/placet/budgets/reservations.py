"""A reservation: what an allow holds of budgets until somebody says what the call did, or nobody does in time.

::

    held --outcome--> settled, or released when nothing was used
    held --expires_at, nobody reported--> expired --late outcome--> settled, or released

What a report names counts as it says, whatever the status; what it does not name counts by the status. More may be
used than was reserved: that is never cut off, it is what happened. What is far above is held for people instead of
counted (see `placet.budgets.excess`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from placet.actions.outcome import OutcomeStatus
from placet.budgets.model import Measure, Unreported
from placet.kernel.limits import OUTCOME_UNHELD_PERCENT
from placet.kernel.state import ZERO_USAGE, CounterKey, Row, RowKey, Settle, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.actions.outcome import Outcome
    from placet.budgets.model import Charge
    from placet.kernel.model import Caller, Proposal
    from placet.kernel.state import Usage

_SECOND_US: Final = 1_000_000


NEVER_HELD: Final = 0
"""The factor with which everything is counted at once."""
_PERCENT: Final = 100
_ESTIMATED: Final = frozenset({Measure.TOKENS, Measure.COST})
"""Measures whose reservation is an estimate, and often none: a call that says nothing reserves one."""


class Excess(NamedTuple):
    """So much of a counter, in its unit, that was reported and is not counted."""

    counter: CounterKey
    amount: int
    resets_at_us: int


class ReservationState(StrEnum):
    """What became of a reservation."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


class Hold(NamedTuple):
    """`amount` of a counter that is reserved, in the counter's unit. `limit` is the budget's as it was then."""

    counter: CounterKey
    amount: int
    limit: int
    resets_at_us: int
    unreported: Unreported

    @property
    def budget_id(self) -> str:
        """The budget that the counter is of."""
        return self.counter.budget_id


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one decision holds, for whom, and until when. `version` is the stored row's, 0 before the first."""

    tenant: str
    decision_id: str
    caller: str
    tool: str
    agent: str
    user: str
    run_id: str
    workflow: str
    holds: tuple[Hold, ...]
    state: ReservationState
    created_at_us: int
    expires_at_us: int
    version: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """The reservation after an outcome, and what that does to counters.

    `late`: it had expired before. `overspent`: budgets that are beyond their limits since, sorted. `excess` was named
    by the outcome and is not counted.
    """

    reservation: Reservation
    changes: tuple[Settle, ...]
    late: bool
    overspent: tuple[str, ...]
    excess: tuple[Excess, ...] = ()


def opened(
    decision_id: str, proposal: Proposal, caller: Caller, charges: Iterable[Charge], now_us: int, ttl_seconds: int
) -> Reservation:
    """The reservation of an allow."""
    return Reservation(
        tenant=proposal.identity.tenant,
        decision_id=decision_id,
        caller=caller.name,
        tool=proposal.action.tool,
        agent=proposal.identity.agent,
        user=proposal.identity.user,
        run_id=proposal.run.run_id,
        workflow=proposal.run.workflow,
        holds=tuple(
            Hold(each.counter, each.amount, each.budget.limit, each.resets_at_us, each.budget.unreported)
            for each in charges
        ),
        state=ReservationState.HELD,
        created_at_us=now_us,
        expires_at_us=now_us + ttl_seconds * _SECOND_US,
    )


def reservation_key(tenant: str, decision_id: str) -> RowKey:
    """Where a decision's reservation stands."""
    return RowKey(StateTable.RESERVATIONS, tenant, decision_id)


def to_row(reservation: Reservation) -> Row:
    """The row to put; due when the reservation expires, as long as it is held."""
    said = {
        "caller": reservation.caller,
        "tool": reservation.tool,
        "agent": reservation.agent,
        "user": reservation.user,
        "run_id": reservation.run_id,
        "workflow": reservation.workflow,
        "expires_at_us": reservation.expires_at_us,
        # Each: the counter but for the tenant, amount, limit, resets_at_us, unreported. Half the bytes of objects.
        "holds": [(*hold.counter[1:], *hold[1:]) for hold in reservation.holds],
    }
    return Row(
        reservation_key(reservation.tenant, reservation.decision_id),
        reservation.state.value,
        reservation.created_at_us,
        orjson.dumps(said),
        reservation.expires_at_us if reservation.state is ReservationState.HELD else 0,
        reservation.version,
    )


def from_row(row: Row) -> Reservation:
    """The reservation that `to_row` wrote."""
    said = orjson.loads(row.body)
    holds = tuple(
        Hold(CounterKey(row.key.tenant, *counter), amount, limit, resets_at_us, Unreported(unreported))
        for *counter, amount, limit, resets_at_us, unreported in said["holds"]
    )
    who = {name: said[name] for name in ("caller", "tool", "agent", "user", "run_id", "workflow", "expires_at_us")}
    return Reservation(
        tenant=row.key.tenant,
        decision_id=row.key.id,
        holds=holds,
        state=ReservationState(row.status),
        created_at_us=row.created_at_us,
        version=row.version,
        **who,
    )


def without(usages: Mapping[CounterKey, Usage], reservation: Reservation | None) -> Mapping[CounterKey, Usage]:
    """The counters as they would be if the reservation did not hold what it still holds of them."""
    if reservation is None or reservation.state is not ReservationState.HELD:
        return usages
    held = {hold.counter: hold.amount for hold in reservation.holds}
    return {
        counter: replace(usage, reserved=usage.reserved - held.get(counter, 0)) for counter, usage in usages.items()
    }


def settle(
    reservation: Reservation, outcome: Outcome, counters: Mapping[CounterKey, Usage], factor: int = NEVER_HELD
) -> Settlement:
    """What was reserved becomes what was used. After expiry, what that did is put right.

    What is more than `factor` times what was reserved is not counted, but given as the excess. `counters` are the
    holds' as they are now. AssertionError when an outcome settled the reservation before.
    """
    if reservation.state not in {ReservationState.HELD, ReservationState.EXPIRED}:
        raise AssertionError("a reservation is settled once")
    late = reservation.state is ReservationState.EXPIRED
    changes, overspent, excess = [], set(), []
    for hold in reservation.holds:
        named, most = _used(hold, outcome), countable(hold, factor)
        used = named if most is None else min(named, most)
        if used < named:
            excess.append(Excess(hold.counter, named - used, hold.resets_at_us))
        reserved, counted = (0, _unreported(hold)) if late else (hold.amount, 0)
        if reserved or used != counted:
            changes.append(Settle(hold.counter, -reserved, used - counted, hold.resets_at_us))
        grown, usage = used - reserved - counted, counters.get(hold.counter, ZERO_USAGE)
        if grown > 0 and usage.used + usage.reserved + grown > hold.limit:
            overspent.add(hold.budget_id)
    nothing = not any(_used(hold, outcome) for hold in reservation.holds)
    state = ReservationState.RELEASED if nothing else ReservationState.SETTLED
    settled = replace(reservation, state=state)
    return Settlement(settled, tuple(changes), late, tuple(sorted(overspent)), tuple(excess))


def expire(reservation: Reservation) -> tuple[Reservation, tuple[Settle, ...]]:
    """Nobody reported in time: each hold counts as used or is released, as its budget says."""
    if reservation.state is not ReservationState.HELD:
        raise AssertionError("only what is held expires")
    changes = tuple(
        Settle(hold.counter, -hold.amount, _unreported(hold), hold.resets_at_us)
        for hold in reservation.holds
        if hold.amount
    )
    return replace(reservation, state=ReservationState.EXPIRED), changes


def _unreported(hold: Hold) -> int:
    return hold.amount if hold.unreported is Unreported.COUNT else 0


def _used(hold: Hold, outcome: Outcome) -> int:
    """What the call took of the hold's budget, by the report.

    Not executed: nothing that is not named. Failed: it ran, but moved no amount that is not named. Unknown: it may have
    happened, so it counts as if it had.
    """
    measure = Measure(hold.counter.unit.partition(":")[0])
    expected = 0 if outcome.status is OutcomeStatus.NOT_EXECUTED else hold.amount
    match measure:
        case Measure.CALLS:
            return expected
        case Measure.TOKENS:
            return expected + (outcome.tokens or 0)
        case Measure.COST:
            named = outcome.cost_micros
        case Measure.AMOUNT:
            named = outcome.amount_minor_units
            expected = 0 if outcome.status is OutcomeStatus.FAILED else expected
    return expected if named is None else named


def countable(hold: Hold, factor: int) -> int | None:
    """The most that one report counts of the hold at once; None: all of it.

    That is `factor` times what was reserved; of tokens and cost, which are estimates, at least a share of the limit.
    """
    if factor == NEVER_HELD:
        return None
    most = hold.amount * factor
    if Measure(hold.counter.unit.partition(":")[0]) in _ESTIMATED:
        most = max(most, hold.limit * OUTCOME_UNHELD_PERCENT // _PERCENT)
    return most
