"""Reservations: the amounts that an allow reserves of budgets until its outcome is reported, or until it expires.

::

    held --outcome--> settled, or released when nothing was used
    held --expires_at without an outcome--> expired --late outcome--> settled, or released

Amounts in an outcome count as reported, for every status. Amounts that the outcome leaves out count by its status. More
than was reserved is counted up to a bound; a person decides on the rest (see `placet.budgets.excess`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import orjson
from msgspec import Struct
from msgspec.structs import replace

from placet.actions.outcome import OutcomeStatus
from placet.budgets.give_backs import given_back_counter, run_counter
from placet.budgets.holds import NEVER_HELD, Excess, Hold, countable, measure_of
from placet.budgets.model import Measure, Unreported
from placet.kernel.state import ZERO_USAGE, CounterKey, Row, RowKey, Settle, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from placet.actions.outcome import Outcome
    from placet.budgets.give_backs import GiveBacks
    from placet.budgets.model import Charge
    from placet.kernel.model import Caller, Proposal
    from placet.kernel.state import Usage

_SECOND_US: Final = 1_000_000


class ReservationState(StrEnum):
    """The state of a reservation."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


class Reservation(Struct, frozen=True, gc=False):
    """The reservation of one decision."""

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
    """The version of the stored row; 0 before it is stored."""
    permit: bool = False
    """Whether the allow carried a permit, so that a process may hold one."""

    @property
    def awaits_outcome(self) -> bool:
        """Whether no outcome settled it yet; its expiry is no outcome."""
        return self.state in {ReservationState.HELD, ReservationState.EXPIRED}


@dataclass(frozen=True, slots=True)
class Settlement:
    """The reservation after an outcome, and the changes of its counters."""

    reservation: Reservation
    changes: tuple[Settle, ...]
    late: bool
    """Whether the reservation had expired before."""
    exceeded_budget_ids: tuple[str, ...]
    """The sorted ids of the budgets that this settlement takes above their limits."""
    excess: tuple[Excess, ...] = ()
    """The reported amounts that are held for people instead of counted."""


def open_reservation(
    decision_id: str,
    proposal: Proposal,
    caller: Caller,
    charges: Iterable[Charge],
    now_us: int,
    ttl_seconds: int,
    *,
    permit: bool = False,
) -> Reservation:
    """Return the reservation of an allow. It expires after `ttl_seconds`. `permit`: the allow carries a permit."""
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
            [
                Hold(charge.counter, charge.amount, charge.budget.limit, charge.resets_at_us, charge.budget.unreported)
                for charge in charges
            ]
        ),
        state=ReservationState.HELD,
        created_at_us=now_us,
        expires_at_us=now_us + ttl_seconds * _SECOND_US,
        permit=permit,
    )


def reservation_key(tenant: str, decision_id: str) -> RowKey:
    """Return the key of the decision's reservation."""
    return RowKey(StateTable.RESERVATIONS, tenant, decision_id)


def to_row(reservation: Reservation) -> Row:
    """Return the row to put. It is due at `expires_at_us` while the reservation is held."""
    body = {
        "caller": reservation.caller,
        "tool": reservation.tool,
        "agent": reservation.agent,
        "user": reservation.user,
        "run_id": reservation.run_id,
        "workflow": reservation.workflow,
        "expires_at_us": reservation.expires_at_us,
        # The counter without its tenant, amount, limit, resets_at_us, unreported. Arrays halve the bytes of objects.
        "holds": [
            (*hold.counter[1:], hold.amount, hold.limit, hold.resets_at_us, hold.unreported)
            for hold in reservation.holds
        ],
        **({"permit": True} if reservation.permit else {}),
    }
    return Row(
        reservation_key(reservation.tenant, reservation.decision_id),
        reservation.state.value,
        reservation.created_at_us,
        orjson.dumps(body),
        reservation.expires_at_us if reservation.state is ReservationState.HELD else 0,
        reservation.version,
    )


def from_row(row: Row) -> Reservation:
    """Return the reservation of a row that `to_row` made."""
    body = orjson.loads(row.body)
    holds = tuple(
        Hold(CounterKey(row.key.tenant, *counter), amount, limit, resets_at_us, Unreported(unreported))
        for *counter, amount, limit, resets_at_us, unreported in body["holds"]
    )
    names = ("caller", "tool", "agent", "user", "run_id", "workflow", "expires_at_us")
    return Reservation(
        tenant=row.key.tenant,
        decision_id=row.key.id,
        holds=holds,
        state=ReservationState(row.status),
        created_at_us=row.created_at_us,
        version=row.version,
        permit=body.get("permit", False),
        **{name: body[name] for name in names},
    )


def counters_beside(reservation: Reservation) -> Iterator[CounterKey]:
    """Yield the counters that bound what the reservation gives back."""
    for hold in reservation.holds:
        yield given_back_counter(hold.counter)
    run = run_counter(reservation.tenant, reservation.run_id)
    if run is not None:
        yield given_back_counter(run)


def without(usages: Mapping[CounterKey, Usage], reservation: Reservation | None) -> Mapping[CounterKey, Usage]:
    """Return the counters without the amounts that the reservation still holds."""
    if reservation is None or reservation.state is not ReservationState.HELD:
        return usages
    held = {hold.counter: hold.amount for hold in reservation.holds}
    return {
        counter: replace(usage, reserved=usage.reserved - held.get(counter, 0)) for counter, usage in usages.items()
    }


def settle(
    reservation: Reservation,
    outcome: Outcome,
    counters: Mapping[CounterKey, Usage],
    factor: int = NEVER_HELD,
    give_backs: GiveBacks | None = None,
) -> Settlement:
    """Settle the reservation: replace each reserved amount by the amount that was used.

    For an expired reservation, correct what the expiry counted. `counters` are the current usages of the holds'
    counters. Reported amounts above `countable(hold, factor)` become the excess. What `give_backs` does not give back
    counts as used; None gives back everything. Raises AssertionError when the reservation was already settled by an
    outcome.
    """
    if not reservation.awaits_outcome:
        raise AssertionError("a reservation is settled once")
    late = reservation.state is ReservationState.EXPIRED
    changes, exceeded, excess, any_used = [], set(), [], False
    for hold in reservation.holds:
        reported, bound = _used(hold, outcome), countable(hold, factor)
        used = reported if bound is None else min(reported, bound)
        if used < reported:
            excess.append(Excess(hold.counter, reported - used, hold.resets_at_us))
        reserved, counted = (0, _unreported(hold)) if late else (hold.amount, 0)
        if give_backs is not None and (unused := reserved + counted - used) > 0:
            used += unused - give_backs.give(hold, unused)
        any_used = any_used or reported > 0 or used > 0
        if reserved or used != counted:
            changes.append(Settle(hold.counter, -reserved, used - counted, hold.resets_at_us))
        growth, usage = used - reserved - counted, counters.get(hold.counter, ZERO_USAGE)
        if growth > 0 and usage.used + usage.reserved + growth > hold.limit:
            exceeded.add(hold.budget_id)
    state = ReservationState.SETTLED if any_used else ReservationState.RELEASED
    settled = replace(reservation, state=state)
    return Settlement(settled, tuple(changes), late, tuple(sorted(exceeded)), tuple(excess))


def expire(reservation: Reservation, give_backs: GiveBacks | None = None) -> tuple[Reservation, tuple[Settle, ...]]:
    """Return the expired reservation and the changes of its counters.

    Each hold counts as used or is released, as its budget's `unreported` says. What `give_backs` does not release as
    a whole counts as used.
    """
    if reservation.state is not ReservationState.HELD:
        raise AssertionError("only a held reservation expires")
    holds = tuple(_decided(hold, give_backs) for hold in reservation.holds)
    changes = tuple(
        Settle(hold.counter, -hold.amount, _unreported(hold), hold.resets_at_us) for hold in holds if hold.amount
    )
    return replace(reservation, state=ReservationState.EXPIRED, holds=holds), changes


def _decided(hold: Hold, give_backs: GiveBacks | None) -> Hold:
    """Return the hold as it expires: one that is not released counts, also for a late outcome."""
    released = hold.amount and hold.unreported is Unreported.RELEASE
    if released and give_backs is not None and not give_backs.give_whole(hold):
        return replace(hold, unreported=Unreported.COUNT)
    return hold


def _unreported(hold: Hold) -> int:
    """Return the amount that counts as used when no outcome is reported in time."""
    return hold.amount if hold.unreported is Unreported.COUNT else 0


def _used(hold: Hold, outcome: Outcome) -> int:
    """Return the amount of the hold's counter that the call used, by its outcome.

    An amount that the outcome reports counts as reported. Without one, the status decides: `not_executed` used nothing.
    `failed` used calls, tokens and cost, but moved no money. `unknown` may have happened, so it counts like
    `succeeded`: the reserved amount was used. Tokens in the outcome are added to the reserved ones.
    """
    expected = 0 if outcome.status is OutcomeStatus.NOT_EXECUTED else hold.amount
    match measure_of(hold):
        case Measure.CALLS:
            return expected
        case Measure.TOKENS:
            return expected + (outcome.tokens or 0)
        case Measure.COST:
            reported = outcome.cost_micros
        case Measure.AMOUNT:
            reported = outcome.amount_minor_units
            expected = 0 if outcome.status is OutcomeStatus.FAILED else expected
    return expected if reported is None else reported
