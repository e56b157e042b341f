"""The decision path, put together: what arrives is batched, decided, counted."""

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
class Deciding:
    """What the border hands requests to. `refusals` records what could not be parsed."""

    decisions: Batcher[Request, Answer]
    refusals: Batcher[Commitment, CommitResult]
    controls: ControlState


def deciding(
    settings: Settings, clock: LedgerClock, policies: PolicySource, ledger: Ledger, reporter: ServerObserver
) -> Deciding:
    """The decision path over these."""
    controls = ControlState(ledger)
    point = decision_point(
        Gatherer(policies, ledger, controls, clock, settings.max_policy_age_seconds, clock.skewed),
        Recorder(clock, RandomIds(), settings.reservation_ttl_seconds, notify=bool(settings.webhook_url)),
        reporter.fault,
        reporter.invalid_verdict,
    )
    told, metrics = _Told(point, clock, reporter), reporter.metrics

    async def refuse(commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        metrics.refused.inc(len(commitments))
        return await ledger.commit(commitments)

    decisions = Batcher(
        told.decide,
        depth_max=settings.queue_depth_max,
        in_pieces=told.in_pieces,
        bytes_of=lambda request: len(request.proposal.document),
        on_shed=reporter.shed,
    )
    metrics.watch_depth(lambda: decisions.depth)
    return Deciding(decisions, Batcher(refuse, depth_max=settings.queue_depth_max, on_shed=reporter.shed), controls)


@dataclass(frozen=True, slots=True)
class _Told:
    """Decides, counts what was decided, and tells whether the ledger works."""

    point: DecisionPoint
    clock: LedgerClock
    reporter: ServerObserver

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """As the point does."""
        async with self._telling_failures():
            answers = await self.point.decide(requests)
        await self._count(requests, answers)
        return answers

    async def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer] | None, None]:
        """As the point does."""
        async with self._telling_failures(), contextlib.aclosing(self.point.in_pieces(requests)) as pieces:
            async for answers in pieces:
                if answers is not None:
                    await self._count(requests, answers)
                yield answers

    @contextlib.asynccontextmanager
    async def _telling_failures(self) -> AsyncIterator[None]:
        try:
            yield
        except LedgerUnavailableError as error:
            await self.reporter.tell_ledger(works=False, why=error)
            raise

    async def _count(self, requests: Sequence[Request], answers: Sequence[Answer]) -> None:
        await self.reporter.tell_ledger(works=True)
        metrics, now_us = self.reporter.metrics, self.clock.wall_us()
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Decision):
                metrics.decisions.labels(answer.effect.value, answer.rule_id).inc()
                metrics.latency.observe(max(0, now_us - request.received_at_us) / 1e6)
