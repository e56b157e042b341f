"""Build the path of outcome reports: they are batched, recorded and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.budgets.give_backs import GiveBackBounds
from placet.kernel.errors import LedgerUnavailableError
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from placet.scheduling.batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.actions.outcome import OutcomeReport
    from placet.audit.ports import Ledger
    from placet.decision.ports import PolicySource
    from placet.kernel.clock import Clock
    from placet.outcomes.service import OutcomeReply
    from placet.server.observer import ServerObserver
    from placet.server.settings.model import Settings

EXPIRY_SECONDS: Final = 5.0
"""Interval of the search for expired reservations and approvals. They last for minutes at least."""
SWEEP_SECONDS: Final = 60.0
"""Interval of the search for expired idempotency keys. They last for hours."""


def default_give_back_bounds(settings: Settings) -> GiveBackBounds | None:
    """Return the bounds of tenants whose files name none: the default ones where callers are authenticated."""
    return GiveBackBounds() if settings.auth_file else None


def build_outcomes(
    settings: Settings, clock: Clock, policies: PolicySource, ledger: Ledger, observer: ServerObserver
) -> Batcher[OutcomeReport, OutcomeReply]:
    """Return the batcher to which the transport submits reports."""
    service = OutcomeService(
        ledger, policies, clock, settings.outcome_excess_factor, default_give_back_bounds(settings)
    )

    async def record(reports: Sequence[OutcomeReport]) -> Sequence[OutcomeReply]:
        try:
            replies = await service.report(reports)
        except LedgerUnavailableError as error:
            await observer.report_ledger(works=False, error=error)
            raise
        await _observe(reports, replies, observer)
        return replies

    return Batcher(record, depth_max=settings.queue_depth_max, on_shed=observer.shed)


async def _observe(reports: Sequence[OutcomeReport], replies: Sequence[OutcomeReply], observer: ServerObserver) -> None:
    """Count the reports that were recorded now, and log the ones of which a part is held."""
    recorded = [
        (report, reply)
        for report, reply in zip(reports, replies, strict=True)
        if isinstance(reply, OutcomeReceipt) and not reply.repeated
    ]
    if recorded:
        await observer.report_ledger(works=True)
    for report, receipt in recorded:
        observer.metrics.outcomes.labels(report.outcome.status.value).inc()
        if receipt.kept:
            observer.give_back_refused(report.tenant, report.decision_id, receipt.kept)
        if receipt.held:
            observer.outcome_held(report.tenant, report.decision_id, receipt.held)
