"""Reports of what allowed calls did: reservations are settled and breakers fed, in the commit that records the report.

`OutcomeDesk.take` works on a batch of reports: one look at what they rest on, one commit. A report that lost a race is
tried again from the start, with the next round.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from placet.actions import outcome
from placet.actions.outcome import RecordedOutcome, outcome_key
from placet.audit.records import Committed
from placet.budgets import excess as outcome_excess
from placet.budgets import reservations as reservation
from placet.budgets.excess import held_excess
from placet.budgets.reservations import Reservation, reservation_key, settle
from placet.controls.breakers.rules import keys_of, record_outcome
from placet.kernel.errors import AbortedError, FailedPreconditionError, NotFoundError, OutcomeConflictError, PlacetError
from placet.kernel.limits import COMMIT_TRIES_MAX, OUTCOME_EXCESS_FACTOR
from placet.kernel.model import Effect
from placet.kernel.policy_files import files_of
from placet.kernel.reasons import NOTHING_WAS_ALLOWED, REFUSALS
from placet.kernel.state import EMPTY_SNAPSHOT, PutIfVersion, ReadSet, Snapshot
from placet.outcomes.records import outcome_commitment
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.actions.outcome import OutcomeReport
    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.budgets.holds import Excess
    from placet.controls.breakers.model import BreakerSpec
    from placet.controls.breakers.ports import BreakerSettings
    from placet.kernel.clock import Clock
    from placet.kernel.policy_files import CurrentFiles
    from placet.kernel.state import RowKey, Settle


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """What a report changed. `repeated`: nothing, it had been taken before; the rest is as it was then.

    `held` are budgets of which a part of the report waits for a person, because it is far above what was reserved.
    """

    repeated: bool
    late: bool
    overspent: tuple[str, ...]
    held: tuple[str, ...] = ()


OutcomeReply = OutcomeReceipt | PlacetError
"""What one report is told. Errors are given, not raised: its neighbours in the batch have no part in them."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The call that a report is about: where its breakers are, and what is held for it."""

    report: OutcomeReport
    content_digest: str
    spec: BreakerSpec | None
    breakers: tuple[RowKey, ...]
    held: Reservation | None


class OutcomeDesk:
    """Takes reports."""

    def __init__(
        self,
        ledger: Ledger,
        policies: CurrentFiles[BreakerSettings],
        clock: Clock,
        excess_factor: int = OUTCOME_EXCESS_FACTOR,
    ) -> None:
        self._excess_factor = excess_factor
        self._ledger = ledger
        self._policies = policies
        self._clock = clock

    async def take(self, reports: Sequence[OutcomeReport]) -> Sequence[OutcomeReply]:
        """One answer for each, in order. LedgerUnavailableError when they could not be recorded."""
        told: dict[int, OutcomeReply] = {}
        for tries in range(1, COMMIT_TRIES_MAX + 1):
            waiting = [place for place in range(len(reports)) if place not in told]
            if waiting:
                answers = await self._round([reports[place] for place in waiting], last=tries == COMMIT_TRIES_MAX)
                told |= {place: each for place, each in zip(waiting, answers, strict=True) if each is not None}
        lost = AbortedError("others changed what this report settles, as often as it was tried; send it again")
        return [told.get(place, lost) for place in range(len(reports))]

    async def _round(self, reports: Sequence[OutcomeReport], *, last: bool) -> Sequence[OutcomeReply | None]:
        """One try; None for a report that has to be tried again."""
        found = await self._find(reports)
        calls = [each for each in found if isinstance(each, _Call)]
        books = await self._open_books(calls, sparing=last)
        made = [books.enter(each) for each in calls]
        results = iter(await self._ledger.commit([commitment for _, commitment in made]) if made else ())
        taken = iter(made)
        told: list[OutcomeReply | None] = []
        for each in found:
            if not isinstance(each, _Call):
                told.append(each)
                continue
            written, stored = next(taken)[0], isinstance(next(results), Committed)
            told.append(_reported(written, repeated=False) if stored else None)
        return told

    async def _find(self, reports: Sequence[OutcomeReport]) -> Sequence[_Call | OutcomeReply | None]:
        """The call of each report, or what the report is told without more ado; None for another of the same call."""
        keys = [outcome_key(each.tenant, each.decision_id) for each in reports]
        held = [reservation_key(each.tenant, each.decision_id) for each in reports]
        known = await self._ledger.load(ReadSet([*keys, *held]))
        found = list(await asyncio.gather(*(self._call(each, known) for each in reports)))
        begun: set[RowKey] = set()
        for place, (key, call) in enumerate(zip(keys, found, strict=True)):
            if not isinstance(call, _Call):
                continue
            row = known.rows.get(key)
            if row is not None:
                found[place] = _again(call, outcome.from_row(row))
            elif key in begun:
                found[place] = None
            begun.add(key)
        return found

    async def _call(self, report: OutcomeReport, known: Snapshot) -> _Call | OutcomeReply | None:
        """The call, of which nobody but its caller learns that it is there."""
        row = known.rows.get(reservation_key(report.tenant, report.decision_id))
        if row is not None:
            held = reservation.from_row(row)
            return self._of(report, held.caller, held.tool, held.run_id, held)
        recorded = await self._ledger.get_decision(report.tenant, report.decision_id)
        if recorded is None or recorded.caller != report.caller:
            return _not_found(report)
        if recorded.decision.effect is not Effect.ALLOW:
            return FailedPreconditionError(NOTHING_WAS_ALLOWED, REFUSALS[NOTHING_WAS_ALLOWED])
        seen = orjson.loads(recorded.input_json)
        return self._of(report, recorded.caller, seen["action"]["tool"], seen["run"]["run_id"], None)

    def _of(
        self, report: OutcomeReport, caller: str, tool: str, run_id: str, held: Reservation | None
    ) -> _Call | OutcomeReply:
        if caller != report.caller:
            return _not_found(report)
        file = files_of(self._policies).get(report.tenant)
        spec = file.breaker if file is not None else None
        breakers = keys_of(spec, report.tenant, tool, run_id) if spec is not None else ()
        return _Call(report, report.outcome.content_digest(), spec, breakers, held)

    async def _open_books(self, calls: Sequence[_Call], *, sparing: bool) -> _Books:
        breakers = {key for call in calls for key in call.breakers}
        counters = {hold.counter for call in calls if call.held is not None for hold in call.held.holds}
        if not breakers and not counters:
            return _Books(EMPTY_SNAPSHOT, self._clock.wall_us(), self._excess_factor, sparing=sparing)
        known = await self._ledger.load(ReadSet(sorted(breakers), sorted(counters)))
        return _Books(known, self._clock.wall_us(), self._excess_factor, sparing=sparing)


class _Books:
    """Breakers and counters as the reports of one batch leave them, one after the other."""

    def __init__(self, known: Snapshot, now_us: int, excess_factor: int, *, sparing: bool) -> None:
        self._rows = dict(known.rows)
        self._counters = dict(known.counters)
        self._excess_factor = excess_factor
        self._now_us = now_us
        self._sparing = sparing

    def enter(self, call: _Call) -> tuple[RecordedOutcome, Commitment]:
        """What is kept of the report, and what to commit."""
        report = call.report
        said = replace(report.outcome, error_class=redact_text(report.outcome.error_class))
        taken = RecordedOutcome(said, call.content_digest, late=False, overspent=(), taken_at_us=self._now_us)
        settled: tuple[Settle, ...] = ()
        excess: tuple[Excess, ...] = ()
        changes: list[PutIfVersion] = []
        if call.held is not None:
            settlement = settle(call.held, report.outcome, self._counters, self._excess_factor)
            taken = replace(taken, late=settlement.late, overspent=settlement.exceeded_budget_ids)
            settled, excess = settlement.changes, settlement.excess
            self._add(settled)
            changes.append(PutIfVersion(reservation.to_row(settlement.reservation)))
        if call.held is not None and excess:
            waiting = held_excess(call.held, excess, self._now_us)
            taken = replace(taken, held=waiting.budgets)
            changes.append(PutIfVersion(outcome_excess.to_row(waiting)))
        changes.append(PutIfVersion(outcome.to_row(outcome_key(report.tenant, report.decision_id), taken)))
        changes += self._feed(call)
        return taken, outcome_commitment(report, taken, settled, changes, excess)

    def _feed(self, call: _Call) -> list[PutIfVersion]:
        if call.spec is None:
            return []
        rows = {key: self._rows.get(key) for key in call.breakers}
        report = call.report
        puts = record_outcome(
            call.spec, rows, report.outcome, report.decision_id, self._now_us, skip_closed_successes=self._sparing
        )
        self._rows |= {put.row.key: replace(put.row, version=put.row.version + 1) for put in puts}
        return puts

    def _add(self, settled: Sequence[Settle]) -> None:
        known = Snapshot({}, self._counters)
        for each in settled:
            usage = known.usage(each.counter)
            moved = replace(usage, reserved=usage.reserved + each.reserved, used=usage.used + each.used)
            self._counters[each.counter] = moved


def _again(call: _Call, taken: RecordedOutcome) -> OutcomeReply:
    """What a report is told whose decision has an outcome."""
    if taken.content_digest != call.content_digest:
        return OutcomeConflictError("the first report of this decision stands; this one changes nothing")
    return _reported(taken, repeated=True)


def _reported(taken: RecordedOutcome, *, repeated: bool) -> OutcomeReceipt:
    return OutcomeReceipt(repeated, taken.late, taken.overspent, taken.held)


def _not_found(report: OutcomeReport) -> NotFoundError:
    named = redact_text(report.decision_id[:64])
    return NotFoundError(
        f"tenant {report.tenant} has no decision {named!r} of this caller; see `placet audit decisions`"
    )
