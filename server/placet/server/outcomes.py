"""Reports of outcomes, put together: what arrives is batched, taken, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.errors import LedgerUnavailableError
from placet.outcomes.service import OutcomeDesk, OutcomeReceipt
from placet.scheduling.batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.actions.outcome import OutcomeReport
    from placet.audit.ports import Ledger
    from placet.decision.ports import PolicySource
    from placet.kernel.clock import Clock
    from placet.outcomes.service import OutcomeReply
    from placet.server.observer import ServerObserver
    from placet.server.settings import Settings

EXPIRY_SECONDS: Final = 5.0
"""How often reservations that nobody reported on are looked for; they are held for minutes."""
SWEEP_SECONDS: Final = 60.0
"""How often old idempotency keys are looked for; they are kept for hours."""


def settling(
    settings: Settings, clock: Clock, policies: PolicySource, ledger: Ledger, reporter: ServerObserver
) -> Batcher[OutcomeReport, OutcomeReply]:
    """What the border hands reports to."""
    desk = OutcomeDesk(ledger, policies, clock, settings.outcome_excess_factor)

    async def take(reports: Sequence[OutcomeReport]) -> Sequence[OutcomeReply]:
        try:
            told = await desk.take(reports)
        except LedgerUnavailableError as error:
            await reporter.tell_ledger(works=False, why=error)
            raise
        new = [
            report.outcome.status
            for report, each in zip(reports, told, strict=True)
            if isinstance(each, OutcomeReceipt) and not each.repeated
        ]
        if new:
            await reporter.tell_ledger(works=True)
        for status in new:
            reporter.metrics.outcomes.labels(status.value).inc()
        for report, each in zip(reports, told, strict=True):
            if isinstance(each, OutcomeReceipt) and each.held and not each.repeated:
                reporter.outcome_held(report.tenant, report.decision_id, each.held)
        return told

    return Batcher(take, depth_max=settings.queue_depth_max, on_shed=reporter.shed)
