"""What an outcome names far above what was reserved: held for people, and not counted until they accept it.

::

    held --accept--> accepted    it is counted, in the window that it was spent in
    held --drop----> dropped     it is not

A number that is far off is more likely a wrong unit, or a lie, than money: counted at once it would stop everybody who
shares the budget. So of one report at most `reservations.countable` is counted at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from placet.budgets.reservations import Excess
from placet.kernel.state import CounterKey, Row, RowKey, Settle, StateTable

if TYPE_CHECKING:
    from placet.budgets.reservations import Reservation


class ExcessState(StrEnum):
    """What became of an excess."""

    HELD = "held"
    ACCEPTED = "accepted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class OutcomeExcess:
    """All that is held of one outcome: of which call, and who reported it. `version` is the stored row's."""

    tenant: str
    decision_id: str
    caller: str
    agent: str
    user: str
    run_id: str
    tool: str
    parts: tuple[Excess, ...]
    state: ExcessState
    reported_at_us: int
    version: int = 0

    @property
    def budgets(self) -> tuple[str, ...]:
        """Ids of the budgets concerned, sorted."""
        return tuple(sorted({each.counter.budget_id for each in self.parts}))

    def settles(self) -> tuple[Settle, ...]:
        """The changes that count it."""
        return tuple(Settle(each.counter, 0, each.amount, each.resets_at_us) for each in self.parts)


def held_of(reservation: Reservation, parts: tuple[Excess, ...], now_us: int) -> OutcomeExcess:
    """What is held of the call that the reservation is of."""
    return OutcomeExcess(
        tenant=reservation.tenant,
        decision_id=reservation.decision_id,
        caller=reservation.caller,
        agent=reservation.agent,
        user=reservation.user,
        run_id=reservation.run_id,
        tool=reservation.tool,
        parts=parts,
        state=ExcessState.HELD,
        reported_at_us=now_us,
    )


def excess_key(tenant: str, decision_id: str) -> RowKey:
    """Where it is kept: among what waits for people."""
    return RowKey(StateTable.CONTROL_REQUESTS, tenant, f"excess_{decision_id}")


def decided(excess: OutcomeExcess, *, accept: bool) -> OutcomeExcess:
    """What it is when somebody has said so. AssertionError when somebody had before."""
    if excess.state is not ExcessState.HELD:
        raise AssertionError("an excess is decided once")
    return replace(excess, state=ExcessState.ACCEPTED if accept else ExcessState.DROPPED)


def to_row(excess: OutcomeExcess) -> Row:
    """The row to put. Nothing is due: it waits for people for as long as it takes."""
    said = {
        "decision_id": excess.decision_id,
        "caller": excess.caller,
        "agent": excess.agent,
        "user": excess.user,
        "run_id": excess.run_id,
        "tool": excess.tool,
        "parts": [(*each.counter[1:], each.amount, each.resets_at_us) for each in excess.parts],
    }
    key = excess_key(excess.tenant, excess.decision_id)
    return Row(key, excess.state.value, excess.reported_at_us, orjson.dumps(said), version=excess.version)


def from_row(row: Row) -> OutcomeExcess:
    """What `to_row` wrote."""
    said = orjson.loads(row.body)
    parts = tuple(
        Excess(CounterKey(row.key.tenant, *counter), amount, resets_at_us)
        for *counter, amount, resets_at_us in said.pop("parts")
    )
    return OutcomeExcess(
        tenant=row.key.tenant,
        parts=parts,
        state=ExcessState(row.status),
        reported_at_us=row.created_at_us,
        version=row.version,
        **said,
    )
