"""Builds the records of reported outcomes, of expired reservations and of decided excesses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.audit.access_records import caller_fields
from placet.audit.control_record import control_record
from placet.audit.records import Commitment, RecordKind
from placet.budgets.excess import ExcessState
from placet.commands.records import actor_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.actions.outcome import OutcomeReport, RecordedOutcome
    from placet.budgets.excess import OutcomeExcess
    from placet.budgets.give_backs import GiveBack, GiveBacks
    from placet.budgets.holds import Excess
    from placet.budgets.reservations import Reservation, Settlement
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.state import Change, Settle

OUTCOME: Final = "outcome"
"""The part of a reported outcome: the caller's free text (error_class)."""


def outcome_commitment(
    report: OutcomeReport,
    recorded: RecordedOutcome,
    settlement: Settlement | None,
    counted: Iterable[Change],
    changes: Iterable[Change],
    give_backs: GiveBacks | None = None,
) -> Commitment:
    """Record the outcome of a call.

    `counted` are the changes of counters, those of the settlement among them, and `changes` all others.
    """
    excess = settlement.excess if settlement is not None else ()
    outcome = recorded.outcome
    numbers = {
        "tokens": outcome.tokens,
        "cost_micros": outcome.cost_micros,
        "amount_minor_units": outcome.amount_minor_units,
    }
    fields: Mapping[str, Any] = {
        "decision_id": report.decision_id,
        **caller_fields(report.caller),
        "status": outcome.status.value,
        "latency_ms": outcome.latency_ms,
        **{name: value for name, value in numbers.items() if value is not None},
        "result_digest": outcome.result_digest,
        "late": recorded.late,
        "overspent": recorded.exceeded_budget_ids,
        "settled": _settled(settlement.changes if settlement is not None else ()),
        **({"excess": excess_fields(excess)} if excess else {}),
        **({"given_back": _given_back(give_backs.parts)} if give_backs is not None and give_backs.parts else {}),
    }
    return Commitment(
        kind=RecordKind.OUTCOME_REPORTED,
        tenant=report.tenant,
        recorded_at_us=recorded.taken_at_us,
        fields=fields,
        parts={OUTCOME: orjson.dumps({"error_class": outcome.error_class})},
        changes=(*counted, *changes),
    )


def reservation_expired_commitment(
    reservation: Reservation,
    settled: Sequence[Settle],
    changes: Iterable[Change],
    recorded_at_us: int,
    give_backs: GiveBacks | None = None,
) -> Commitment:
    """Record that a reservation expired because no outcome was reported in time."""
    return Commitment(
        kind=RecordKind.RESERVATION_EXPIRED,
        tenant=reservation.tenant,
        recorded_at_us=recorded_at_us,
        fields={
            "decision_id": reservation.decision_id,
            "expires_at_us": reservation.expires_at_us,
            "settled": _settled(settled),
            **({"given_back": _given_back(give_backs.parts)} if give_backs is not None and give_backs.parts else {}),
        },
        changes=(*settled, *changes),
    )


def excess_fields(excess: Sequence[Excess]) -> list[dict[str, Any]]:
    """Return budget, unit and amount of each part. Scope keys are left out: they may be personal."""
    return [{"budget_id": part.counter.budget_id, "unit": part.counter.unit, "amount": part.amount} for part in excess]


def _given_back(parts: Sequence[GiveBack]) -> list[dict[str, Any]]:
    """Return budget, unit and both amounts of each part, with the reason why an amount was kept."""
    return [
        {
            "budget_id": part.counter.budget_id,
            "unit": part.counter.unit,
            "given": part.given,
            "kept": part.kept,
            **({"reason": part.reason.value} if part.reason is not None else {}),
        }
        for part in parts
    ]


def _settled(changes: Sequence[Settle]) -> list[dict[str, Any]]:
    """Return budget, unit and amounts of each change. Scope keys are left out: they may be personal."""
    return [
        {
            "budget_id": change.counter.budget_id,
            "unit": change.counter.unit,
            "reserved": change.reserved,
            "used": change.used,
        }
        for change in changes
    ]


def excess_decided(
    excess: OutcomeExcess, command: ChangeCommand, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """Record that a person accepted an excess, so that it is counted, or dropped it."""
    accepted = excess.state is ExcessState.ACCEPTED
    fields = {
        "decision_id": excess.decision_id,
        "excess": excess_fields(excess.parts),
        **caller_fields(command.caller),
    }
    kind = RecordKind.EXCESS_ACCEPTED if accepted else RecordKind.EXCESS_DROPPED
    return control_record(kind, excess.tenant, now_us, fields, actor_part(command, None), changes)
