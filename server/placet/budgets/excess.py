"""The excess of an outcome: usage far above the reservation, held until a person accepts or drops it.

::

    held --accept--> accepted    counted, in the window in which it was spent
    held --drop----> dropped     not counted

A reported number that is far off is more likely a wrong unit, or a lie, than real usage. Counted at once it would stop
everybody who shares the budget. So one report counts at most `holds.countable` at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from placet.budgets.holds import Excess
from placet.kernel.state import CounterKey, Row, RowKey, Settle, StateTable

if TYPE_CHECKING:
    from placet.budgets.reservations import Reservation


class ExcessState(StrEnum):
    """The state of an excess."""

    HELD = "held"
    ACCEPTED = "accepted"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class OutcomeExcess:
    """The whole excess of one outcome, with the call that it belongs to."""

    tenant: str
    decision_id: str
    caller: str
    """The caller that reported the outcome."""
    agent: str
    user: str
    run_id: str
    tool: str
    parts: tuple[Excess, ...]
    """The excess of each counter."""
    state: ExcessState
    reported_at_us: int
    version: int = 0
    """The version of the stored row; 0 before it is stored."""

    @property
    def budgets(self) -> tuple[str, ...]:
        """The sorted ids of the budgets that the excess belongs to."""
        return tuple(sorted({part.counter.budget_id for part in self.parts}))

    def settles(self) -> tuple[Settle, ...]:
        """Return the changes that count the excess."""
        return tuple(Settle(part.counter, 0, part.amount, part.resets_at_us) for part in self.parts)


def held_excess(reservation: Reservation, parts: tuple[Excess, ...], now_us: int) -> OutcomeExcess:
    """Return a held excess for the call of the reservation."""
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
    """Return the key of its row, which is in the table of requests that wait for people."""
    return RowKey(StateTable.CONTROL_REQUESTS, tenant, f"excess_{decision_id}")


def decided(excess: OutcomeExcess, *, accept: bool) -> OutcomeExcess:
    """Return the excess as accepted or dropped. Raises AssertionError when it was already decided."""
    if excess.state is not ExcessState.HELD:
        raise AssertionError("an excess is decided once")
    return replace(excess, state=ExcessState.ACCEPTED if accept else ExcessState.DROPPED)


def to_row(excess: OutcomeExcess) -> Row:
    """Return the row to put. The row is never due: an excess does not expire."""
    body = {
        "decision_id": excess.decision_id,
        "caller": excess.caller,
        "agent": excess.agent,
        "user": excess.user,
        "run_id": excess.run_id,
        "tool": excess.tool,
        "parts": [(*part.counter[1:], part.amount, part.resets_at_us) for part in excess.parts],
    }
    key = excess_key(excess.tenant, excess.decision_id)
    return Row(key, excess.state.value, excess.reported_at_us, orjson.dumps(body), version=excess.version)


def from_row(row: Row) -> OutcomeExcess:
    """Return the excess of a row that `to_row` made."""
    body = orjson.loads(row.body)
    parts = tuple(
        Excess(CounterKey(row.key.tenant, *counter), amount, resets_at_us)
        for *counter, amount, resets_at_us in body.pop("parts")
    )
    return OutcomeExcess(
        tenant=row.key.tenant,
        parts=parts,
        state=ExcessState(row.status),
        reported_at_us=row.created_at_us,
        version=row.version,
        **body,
    )
