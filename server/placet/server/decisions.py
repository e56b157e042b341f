"""Build the decision path: requests are batched, decided and counted."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.controls.snapshot import ControlState
from placet.decision.gathering import Gatherer
from placet.decision.pipeline import decision_point
from placet.decision.recorder import Recorder
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.model import Decision
from placet.scheduling.batching import Batcher
from placet.server.system import RandomIds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment, CommitResult
    from placet.decision.attempt import Request
    from placet.decision.pipeline import DecisionPoint
    from placet.decision.ports import PolicySource
    from placet.decision.replies import Answer
    from placet.server.ledger_clock import LedgerClock
    from placet.server.observer import ServerObserver
    from placet.server.settings import Settings


@dataclass(frozen=True, slots=True)
class DecisionParts:
    """The parts of a server that decide."""

    requests: Batcher[Request, Answer]  # the transport submits requests here
    invalid_requests: Batcher[Commitment, CommitResult]  # the transport submits records of invalid requests here
    controls: ControlState  # kill switches and autonomy, as decisions read them


def build_decisions(
    settings: Settings, clock: LedgerClock, policies: PolicySource, ledger: Ledger, observer: ServerObserver
) -> DecisionParts:
    """Return the decision path over the policies and the ledger."""
    controls = ControlState(ledger)
    point = decision_point(
        Gatherer(policies, ledger, controls, clock, settings.max_policy_age_seconds, clock.skewed),
        Recorder(clock, RandomIds(), settings.reservation_ttl_seconds, notify=bool(settings.webhook_url)),
        observer.error,
        observer.invalid_verdict,
    )
    observed, metrics = _ObservedDecisionPoint(point, clock, observer), observer.metrics

    async def record_invalid(commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        metrics.refused.inc(len(commitments))
        return await ledger.commit(commitments)

    requests = Batcher(
        observed.decide,
        depth_max=settings.queue_depth_max,
        in_pieces=observed.in_pieces,
        bytes_of=lambda request: len(request.proposal.document),
        on_shed=observer.shed,
    )
    metrics.watch_depth(lambda: requests.depth)
    invalid_requests = Batcher(record_invalid, depth_max=settings.queue_depth_max, on_shed=observer.shed)
    return DecisionParts(requests, invalid_requests, controls)


@dataclass(frozen=True, slots=True)
class _ObservedDecisionPoint:
    """A decision point that counts its decisions and reports whether the ledger works."""

    point: DecisionPoint
    clock: LedgerClock
    observer: ServerObserver

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Decide a batch."""
        async with self._report_ledger_errors():
            answers = await self.point.decide(requests)
        await self._count(requests, answers)
        return answers

    async def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer] | None, None]:
        """Decide a batch in pieces; yields the answers of each piece, or None to let other work run."""
        async with self._report_ledger_errors(), contextlib.aclosing(self.point.in_pieces(requests)) as pieces:
            async for answers in pieces:
                if answers is not None:
                    await self._count(requests, answers)
                yield answers

    @contextlib.asynccontextmanager
    async def _report_ledger_errors(self) -> AsyncIterator[None]:
        try:
            yield
        except LedgerUnavailableError as error:
            await self.observer.report_ledger(works=False, error=error)
            raise

    async def _count(self, requests: Sequence[Request], answers: Sequence[Answer]) -> None:
        await self.observer.report_ledger(works=True)
        metrics, now_us = self.observer.metrics, self.clock.wall_us()
        metrics.decision_counter.add(answer for answer in answers if isinstance(answer, Decision))
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Decision):
                metrics.latency.observe(max(0, now_us - request.received_at_us) / 1e6)
