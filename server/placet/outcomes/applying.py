"""Applies reports one after the other: settles the reservation, bounds what is given back, updates the breakers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import structs

from placet.actions import outcome
from placet.actions.outcome import OutcomeStatus, RecordedOutcome, outcome_key
from placet.budgets import excess as outcome_excess
from placet.budgets import reservations
from placet.budgets.excess import held_excess
from placet.budgets.give_backs import GiveBacks, add_changes, run_counter
from placet.budgets.reservations import settle
from placet.controls.breakers.rules import record_outcome
from placet.kernel import rule_ids
from placet.kernel.state import PutIfVersion, RequireVersion, Settle, Snapshot
from placet.outcomes.records import outcome_commitment
from placet.permits.revocations import permit_revoked, valid_since_us
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.actions.outcome import OutcomeReport
    from placet.audit.records import Commitment
    from placet.budgets.give_backs import GiveBackBounds
    from placet.budgets.reservations import Reservation, Settlement
    from placet.controls.breakers.model import BreakerSpec
    from placet.kernel.state import Change, CounterKey, Reserve, RowKey


@dataclass(frozen=True, slots=True)
class Call:
    """The call that a report is about, with its breakers, its reservation and the bounds of its tenant."""

    report: OutcomeReport
    content_digest: str
    spec: BreakerSpec | None
    breakers: tuple[RowKey, ...]
    reservation: Reservation | None
    bounds: GiveBackBounds | None = None
    """None gives back everything."""

    @property
    def awaits_outcome(self) -> bool:
        """Whether no outcome settled the call's reservation yet. True without one."""
        return self.reservation is None or self.reservation.awaits_outcome

    def counters(self) -> Iterator[CounterKey]:
        """Yield the counters to read before the report is applied."""
        if self.reservation is None:
            return
        for hold in self.reservation.holds:
            yield hold.counter
        if self.bounds is not None:
            yield from reservations.counters_beside(self.reservation)


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome to store, its commitment, and the revocation that belongs to it."""

    recorded: RecordedOutcome
    commitment: Commitment
    revocation: Commitment | None = None
    """Revokes the permit of the call. Holds only when `commitment` does."""


class RunningState:
    """The running state of breakers and counters while the reports of a batch are applied one after the other."""

    def __init__(self, snapshot: Snapshot, now_us: int, excess_factor: int, *, skip_closed_successes: bool) -> None:
        self._rows = dict(snapshot.rows)
        self._counters = dict(snapshot.counters)
        self._excess_factor = excess_factor
        self._now_us = now_us
        self._skip_closed_successes = skip_closed_successes

    def apply(self, call: Call) -> Applied:
        """Apply a report, and return the outcome to store and its commitment."""
        report = call.report
        redacted = replace(report.outcome, error_class=redact_text(report.outcome.error_class))
        recorded = RecordedOutcome(
            redacted, call.content_digest, late=False, exceeded_budget_ids=(), taken_at_us=self._now_us
        )
        settlement, give_backs = None, self._give_backs(call)
        counted: list[Reserve | Settle] = []
        changes: list[Change] = []
        if call.reservation is not None:
            settlement = settle(call.reservation, report.outcome, self._counters, self._excess_factor, give_backs)
            recorded = replace(recorded, late=settlement.late, exceeded_budget_ids=settlement.exceeded_budget_ids)
            counted = [*settlement.changes, *(give_backs.changes() if give_backs is not None else ())]
            add_changes(self._counters, counted)
            changes.append(PutIfVersion(reservations.to_row(settlement.reservation)))
        if settlement is not None and settlement.excess:
            reported = structs.replace(settlement.reservation, caller=report.caller.acting)
            held = held_excess(reported, settlement.excess, self._now_us)
            recorded = replace(recorded, held=held.budgets)
            changes.append(PutIfVersion(outcome_excess.to_row(held)))
        if give_backs is not None:
            recorded = replace(recorded, kept=give_backs.refused)
        changes.append(PutIfVersion(outcome.to_row(outcome_key(report.tenant, report.decision_id), recorded)))
        changes += self._update_breakers(call)
        commitment = outcome_commitment(report, recorded, settlement, counted, changes, give_backs)
        return Applied(recorded, commitment, self._revocation(call, settlement, give_backs))

    def _give_backs(self, call: Call) -> GiveBacks | None:
        reservation = call.reservation
        if call.bounds is None or reservation is None:
            return None
        return GiveBacks(
            call.bounds,
            self._counters,
            run_counter(reservation.tenant, reservation.run_id),
            executed=call.report.outcome.status is not OutcomeStatus.NOT_EXECUTED,
            permit_valid=self._permit_valid(reservation) and not call.report.uses_permit,
        )

    def _permit_valid(self, reservation: Reservation) -> bool:
        return reservation.permit and reservation.created_at_us >= valid_since_us(self._now_us)

    def _revocation(self, call: Call, settlement: Settlement | None, give_backs: GiveBacks | None) -> Commitment | None:
        """Return the revocation of a permit that may still be valid, when its call gave back what it reserved.

        Also of one that was not signed yet: a repeat of the request could still ask for it.
        """
        if settlement is None or give_backs is None or not give_backs.given:
            return None
        reservation = settlement.reservation
        if reservation.created_at_us < valid_since_us(self._now_us):
            return None
        tenant, decision_id = reservation.tenant, reservation.decision_id
        reason = "The outcome of the call gave its budget back"
        record = permit_revoked(
            tenant, decision_id, "", rule_ids.PERMIT_REVOKED, call.report.caller.name, reason, self._now_us
        )
        return structs.replace(record, changes=(RequireVersion(outcome_key(tenant, decision_id), 1),))

    def _update_breakers(self, call: Call) -> list[PutIfVersion]:
        if call.spec is None:
            return []
        rows = {key: self._rows.get(key) for key in call.breakers}
        report = call.report
        puts = record_outcome(
            call.spec,
            rows,
            report.outcome,
            report.decision_id,
            self._now_us,
            skip_closed_successes=self._skip_closed_successes,
            not_executed_fails=call.bounds is not None,
        )
        self._rows |= {put.row.key: structs.replace(put.row, version=put.row.version + 1) for put in puts}
        return puts
