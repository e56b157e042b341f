"""What reports and their absence leave in the trail, as commitments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.audit.control_record import control_record
from placet.audit.records import Commitment, RecordKind
from placet.budgets.excess import ExcessState
from placet.commands.records import actor_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.actions.outcome import OutcomeReport, RecordedOutcome
    from placet.budgets.excess import OutcomeExcess
    from placet.budgets.holds import Excess
    from placet.budgets.reservations import Reservation
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.state import Change, Settle

OUTCOME: Final = "outcome"
"""Part of a reported outcome: what the caller wrote in words."""


def outcome_commitment(
    report: OutcomeReport,
    taken: RecordedOutcome,
    settled: Sequence[Settle],
    changes: Iterable[Change],
    excess: Sequence[Excess] = (),
) -> Commitment:
    """A call's outcome was reported. `settled` is what that did to budgets; `changes` are those beside it.

    `excess` is what was named and is not counted until a person accepts it.
    """
    outcome = taken.outcome
    numbers = {
        "tokens": outcome.tokens,
        "cost_micros": outcome.cost_micros,
        "amount_minor_units": outcome.amount_minor_units,
    }
    fields: Mapping[str, Any] = {
        "decision_id": report.decision_id,
        "caller": report.caller,
        "status": outcome.status.value,
        "latency_ms": outcome.latency_ms,
        **{name: value for name, value in numbers.items() if value is not None},
        "result_digest": outcome.result_digest,
        "late": taken.late,
        "overspent": taken.overspent,
        "settled": _settled(settled),
        **({"excess": excess_fields(excess)} if excess else {}),
    }
    return Commitment(
        kind=RecordKind.OUTCOME_REPORTED,
        tenant=report.tenant,
        recorded_at_us=taken.taken_at_us,
        fields=fields,
        parts={OUTCOME: orjson.dumps({"error_class": outcome.error_class})},
        changes=(*settled, *changes),
    )


def reservation_expired_commitment(
    reservation: Reservation, settled: Sequence[Settle], changes: Iterable[Change], recorded_at_us: int
) -> Commitment:
    """Nobody reported on a call in time."""
    return Commitment(
        kind=RecordKind.RESERVATION_EXPIRED,
        tenant=reservation.tenant,
        recorded_at_us=recorded_at_us,
        fields={
            "decision_id": reservation.decision_id,
            "expires_at_us": reservation.expires_at_us,
            "settled": _settled(settled),
        },
        changes=(*settled, *changes),
    )


def excess_fields(excess: Sequence[Excess]) -> list[dict[str, Any]]:
    """What is held, by budget and unit alone."""
    return [{"budget_id": each.counter.budget_id, "unit": each.counter.unit, "amount": each.amount} for each in excess]


def _settled(changes: Sequence[Settle]) -> list[dict[str, Any]]:
    """By budget and unit alone: whose counter it is may be personal."""
    return [
        {
            "budget_id": each.counter.budget_id,
            "unit": each.counter.unit,
            "reserved": each.reserved,
            "used": each.used,
        }
        for each in changes
    ]


def excess_decided(
    excess: OutcomeExcess, command: ChangeCommand, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """What was held of an outcome was accepted, and counts; or dropped."""
    accepted = excess.state is ExcessState.ACCEPTED
    fields = {
        "decision_id": excess.decision_id,
        "excess": excess_fields(excess.parts),
        "caller": command.caller.name,
    }
    kind = RecordKind.EXCESS_ACCEPTED if accepted else RecordKind.EXCESS_DROPPED
    return control_record(kind, excess.tenant, now_us, fields, actor_part(command, None), changes)
