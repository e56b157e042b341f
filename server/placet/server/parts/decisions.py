"""Build the decision path: requests are batched, decided and counted."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from placet.controls.snapshot import ControlState
from placet.decision.gathering import Gatherer
from placet.decision.pipeline import decision_point, slow_lane_point
from placet.decision.recorder import Recorder
from placet.decision.slow_inputs import SlowInputs
from placet.engine.patience import PATIENCE_SHARE
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.model import Decision
from placet.scheduling.batching import POSTPONED, Batcher
from placet.server.parts.slow_lane import SlowLane, lanes
from placet.server.system import RandomIds
from placet.server.usable_cores import usable_cores

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment, CommitResult
    from placet.decision.attempt import Request
    from placet.decision.pipeline import DecisionPoint
    from placet.decision.ports import PolicySource
    from placet.decision.replies import Answer
    from placet.scheduling.batching import Postponed
    from placet.server.ledger_clock import LedgerClock
    from placet.server.observer import ServerObserver
    from placet.server.settings.model import Settings

AnswerT = TypeVar("AnswerT", bound="Answer | Postponed")
SLOW_DEPTH_SHARE: Final = 0.125
"""Room for slow calls, as a share of queue_depth_max. They leave slowly, so a longer queue only makes them wait."""

OVERLAP_CORES_MIN: Final = 4
"""Cores of a worker from which on a batch is evaluated while the last one is committed. On fewer cores both compete for
the CPU, and the batches only become smaller."""


@dataclass(frozen=True, slots=True)
class DecisionParts:
    """The parts of a server that decide."""

    requests: Batcher[Request, Answer]  # the transport submits requests here
    slow_requests: Batcher[Request, Answer]  # the slow lane, to which `requests` moves some
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
    cores = max(1, usable_cores() // settings.workers)  # each worker has a slow lane
    slow_inputs = SlowInputs(clock.monotonic)
    slow_lane = SlowLane(
        _ObservedDecisionPoint(slow_lane_point(point), clock, observer).decide,
        slow_inputs,
        patience_seconds=PATIENCE_SHARE * settings.opa_timeout_ms / 1_000,
        cores=cores,
        monotonic=clock.monotonic,
    )
    observed, metrics = _ObservedDecisionPoint(point, clock, observer, slow_lane.notice), observer.metrics

    async def record_invalid(commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        metrics.refused.inc(len(commitments))
        return await ledger.commit(commitments)

    slow_requests: Batcher[Request, Answer] = Batcher(
        slow_lane.decide,
        depth_max=max(1, int(settings.queue_depth_max * SLOW_DEPTH_SHARE)),
        actions_max=1,
        bytes_of=_bytes_of,
        lanes=lanes(cores),
        on_shed=observer.shed,
    )
    requests: Batcher[Request, Answer] = Batcher(
        observed.decide_or_postpone,
        depth_max=settings.queue_depth_max,
        in_pieces=observed.in_pieces,
        bytes_of=_bytes_of,
        on_shed=observer.shed,
    )
    requests.postpone_to(slow_requests, slow_inputs.any_of)
    if cores >= OVERLAP_CORES_MIN:
        requests.overlap(observed.decide_or_postpone)
    metrics.watch_depth(lambda: requests.depth, lambda: slow_requests.depth)
    invalid_requests: Batcher[Commitment, CommitResult] = Batcher(
        record_invalid, depth_max=settings.queue_depth_max, on_shed=observer.shed
    )
    return DecisionParts(requests, slow_requests, invalid_requests, controls)


def _bytes_of(request: Request) -> int:
    return len(request.proposal.document)


@dataclass(frozen=True, slots=True)
class _ObservedDecisionPoint:
    """A decision point that counts its decisions and reports whether the ledger works."""

    point: DecisionPoint
    clock: LedgerClock
    observer: ServerObserver
    on_decided: Callable[[Sequence[Request], Sequence[Answer | Postponed]], None] = lambda _requests, _answers: None

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Decide a batch."""
        return await self._observed(requests, self.point.decide(requests))

    async def decide_or_postpone(
        self, requests: Sequence[Request], on_evaluated: Callable[[], None] = lambda: None
    ) -> Sequence[Answer | Postponed]:
        """Decide a batch, and postpone its slow calls. Calls `on_evaluated` before the first commit."""
        return await self._observed(requests, self.point.decide_or_postpone(requests, on_evaluated))

    async def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer | Postponed] | None, None]:
        """Decide a batch in pieces; yields the answers of each piece, or None to let other work run."""
        async with contextlib.aclosing(self.point.in_pieces(requests)) as pieces:
            try:
                async for answers in pieces:
                    if answers is not None:
                        await self._count(requests, answers)
                    yield answers
            except LedgerUnavailableError as error:
                await self.observer.report_ledger(works=False, error=error)
                raise

    async def _observed(self, requests: Sequence[Request], deciding: Awaitable[Sequence[AnswerT]]) -> Sequence[AnswerT]:
        """Await the answers and count them, or report that the ledger failed."""
        try:
            answers = await deciding
        except LedgerUnavailableError as error:
            await self.observer.report_ledger(works=False, error=error)
            raise
        await self._count(requests, answers)
        return answers

    async def _count(self, requests: Sequence[Request], answers: Sequence[Answer | Postponed]) -> None:
        self.on_decided(requests, answers)
        if all(answer is POSTPONED for answer in answers):
            return
        await self.observer.report_ledger(works=True)
        metrics, now_us = self.observer.metrics, self.clock.wall_us()
        decided = [
            (request, answer) for request, answer in zip(requests, answers, strict=True) if isinstance(answer, Decision)
        ]
        metrics.decision_counter.add([decision for _, decision in decided])
        metrics.latency.observe_all([max(0, now_us - request.received_at_us) / 1e6 for request, _ in decided])
