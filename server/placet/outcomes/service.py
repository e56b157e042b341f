"""Records reported outcomes. The same commit settles the call's reservation and updates its circuit breakers.

`OutcomeService.report` handles a batch of reports with one read and one commit. A report whose commit conflicts is
retried from the start with the next round, in COMMIT_TRIES_MAX rounds at most.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from placet.actions import outcome
from placet.actions.outcome import RecordedOutcome, outcome_key
from placet.audit.records import Committed
from placet.budgets import reservations
from placet.budgets.reservations import Reservation, reservation_key
from placet.controls.breakers.rules import keys_of
from placet.kernel.errors import AbortedError, FailedPreconditionError, OutcomeConflictError, PlacetError
from placet.kernel.limits import COMMIT_TRIES_MAX, OUTCOME_EXCESS_FACTOR
from placet.kernel.model import Effect
from placet.kernel.policy_files import files_of
from placet.kernel.reasons import NOTHING_WAS_ALLOWED, REFUSALS
from placet.kernel.state import EMPTY_SNAPSHOT, ReadSet, Snapshot
from placet.outcomes.applying import Call, RunningState
from placet.outcomes.bounds import bounds_by_tenant
from placet.outcomes.reporters import not_found, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.actions.outcome import OutcomeReport
    from placet.audit.ports import Ledger
    from placet.budgets.give_backs import GiveBackBounds
    from placet.kernel.clock import Clock
    from placet.kernel.policy_files import CurrentFiles
    from placet.kernel.state import RowKey
    from placet.outcomes.ports import OutcomeSettings


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """The result of a report."""

    repeated: bool
    """Whether the same report was recorded before. It changed nothing now, and the other fields are from then."""
    late: bool
    """Whether the reservation had expired before."""
    exceeded_budget_ids: tuple[str, ...]
    """The ids of the budgets that the outcome takes above their limits."""
    held: tuple[str, ...] = ()
    """The ids of the budgets with an excess that waits for a person."""
    kept: tuple[str, ...] = ()
    """The ids of the budgets that did not give back all that the call left unused."""


OutcomeReply = OutcomeReceipt | PlacetError
"""The reply to one report. Errors are returned, not raised, so that they do not affect other reports of the batch."""


class OutcomeService:
    """Records reported outcomes."""

    def __init__(
        self,
        ledger: Ledger,
        policies: CurrentFiles[OutcomeSettings],
        clock: Clock,
        excess_factor: int = OUTCOME_EXCESS_FACTOR,
        bounds: GiveBackBounds | None = None,
    ) -> None:
        """`bounds` hold for the give-backs of tenants whose files name none; None gives back everything."""
        self._bounds = bounds
        self._excess_factor = excess_factor
        self._ledger = ledger
        self._policies = policies
        self._clock = clock

    async def report(self, reports: Sequence[OutcomeReport]) -> Sequence[OutcomeReply]:
        """Record the reports and return one reply for each, in order.

        Raises LedgerUnavailableError when they could not be recorded.
        """
        replies: dict[int, OutcomeReply] = {}
        for tries in range(1, COMMIT_TRIES_MAX + 1):
            pending = [index for index in range(len(reports)) if index not in replies]
            if pending:
                results = await self._round([reports[index] for index in pending], last=tries == COMMIT_TRIES_MAX)
                replies |= {index: reply for index, reply in zip(pending, results, strict=True) if reply is not None}
        aborted = AbortedError(
            f"the budgets or breakers of this report changed during each of {COMMIT_TRIES_MAX} tries; send it again"
        )
        return [replies.get(index, aborted) for index in range(len(reports))]

    async def _round(self, reports: Sequence[OutcomeReport], *, last: bool) -> Sequence[OutcomeReply | None]:
        """Try once. Returns None for a report that must be retried."""
        found = await self._find(reports)
        calls = [item for item in found if isinstance(item, Call)]
        running = await self._running(calls, skip_closed_successes=last)
        applied = [running.apply(call) for call in calls]
        commitments = [each.commitment for each in applied]
        revocations = [each.revocation for each in applied if each.revocation is not None]  # after what they depend on
        results = iter(await self._ledger.commit([*commitments, *revocations]) if applied else ())
        outcomes = iter(each.recorded for each in applied)
        replies: list[OutcomeReply | None] = []
        for item in found:
            if not isinstance(item, Call):
                replies.append(item)
                continue
            recorded, committed = next(outcomes), isinstance(next(results), Committed)
            replies.append(_receipt(recorded, repeated=False) if committed else None)
        return replies

    async def _find(self, reports: Sequence[OutcomeReport]) -> Sequence[Call | OutcomeReply | None]:
        """Return the call of each report, or the reply when there is nothing to record.

        Returns None for what is handled in the next round: all but the first report of the same call, and a call whose
        outcome another replica recorded between the reads of the outcomes and of the reservations.
        """
        keys = [outcome_key(report.tenant, report.decision_id) for report in reports]
        reservation_keys = [reservation_key(report.tenant, report.decision_id) for report in reports]
        snapshot = await self._ledger.load(ReadSet([*keys, *reservation_keys]))
        found = list(await asyncio.gather(*(self._call(report, snapshot) for report in reports)))
        seen: set[RowKey] = set()
        for index, (key, call) in enumerate(zip(keys, found, strict=True)):
            if not isinstance(call, Call):
                continue
            row = snapshot.rows.get(key)
            if row is not None:
                found[index] = _repeated(call, outcome.from_row(row))
            elif key in seen or not call.awaits_outcome:
                found[index] = None
            seen.add(key)
        return found

    async def _call(self, report: OutcomeReport, snapshot: Snapshot) -> Call | OutcomeReply | None:
        """Return the call of a report. For other callers than the call's own it does not exist."""
        row = snapshot.rows.get(reservation_key(report.tenant, report.decision_id))
        if row is not None:
            stored = reservations.from_row(row)
            return self._call_of(report, stored.caller, stored.tool, stored.run_id, stored)
        recorded = await self._ledger.get_decision(report.tenant, report.decision_id)
        if recorded is None or not (recorded.caller == report.caller.name or report.uses_permit):
            return not_found(report)
        if recorded.decision.effect is not Effect.ALLOW:
            return FailedPreconditionError(NOTHING_WAS_ALLOWED, REFUSALS[NOTHING_WAS_ALLOWED])
        stored_input = orjson.loads(recorded.input_json)
        tool, run_id = stored_input["action"]["tool"], stored_input["run"]["run_id"]
        return self._call_of(report, recorded.caller, tool, run_id, None)

    def _call_of(
        self, report: OutcomeReport, caller: str, tool: str, run_id: str, reservation: Reservation | None
    ) -> Call | OutcomeReply:
        file = files_of(self._policies).get(report.tenant)
        executors_only = file is not None and file.executors_report
        if (refused := refusal(report, caller, executors_only=executors_only)) is not None:
            return refused
        spec = file.breaker if file is not None else None
        breakers = keys_of(spec, report.tenant, tool, run_id) if spec is not None else ()
        bounds = bounds_by_tenant(self._policies, [report.tenant], self._bounds)[report.tenant]
        return Call(report, report.outcome.content_digest(), spec, breakers, reservation, bounds)

    async def _running(self, calls: Sequence[Call], *, skip_closed_successes: bool) -> RunningState:
        breakers = {key for call in calls for key in call.breakers}
        counters = {counter for call in calls for counter in call.counters()}
        snapshot = EMPTY_SNAPSHOT
        if breakers or counters:
            snapshot = await self._ledger.load(ReadSet(sorted(breakers), sorted(counters)))
        return RunningState(
            snapshot, self._clock.wall_us(), self._excess_factor, skip_closed_successes=skip_closed_successes
        )


def _repeated(call: Call, recorded: RecordedOutcome) -> OutcomeReply:
    """Return the reply to a report of a call that already has an outcome."""
    if recorded.content_digest != call.content_digest:
        return OutcomeConflictError("another outcome was already reported for this decision; this report is ignored")
    return _receipt(recorded, repeated=True)


def _receipt(recorded: RecordedOutcome, *, repeated: bool) -> OutcomeReceipt:
    return OutcomeReceipt(repeated, recorded.late, recorded.exceeded_budget_ids, recorded.held, recorded.kept)
