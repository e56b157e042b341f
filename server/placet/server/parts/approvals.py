"""Build what serves approvals: the use cases, the change feeds and their gRPC servicer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.approvals.service import Approvals
from placet.approvals.vote_voiding import VoteVoiding
from placet.kernel.state import StateTable
from placet.transport.grpc.services.approvals import ApprovalServicer
from placet.transport.grpc.services.watch import ChangeStreams
from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.audit.ports import Ledger
    from placet.decision.ports import PolicySource
    from placet.kernel.clock import Clock
    from placet.server.observer import ServerObserver

COUNT_SECONDS: Final = 15.0
"""Interval at which open approvals are counted for the metrics: the usual scrape interval."""


@dataclass(frozen=True, slots=True)
class ApprovalParts:
    """The parts of a server that serve approvals."""

    service: Approvals  # `expire_due` runs in the background
    hub: Hub  # `run` runs in the background
    servicer: ApprovalServicer
    streams: ChangeStreams
    count: Callable[[], Awaitable[None]]  # sets the metric of open approvals; runs in the background


def build_approvals(
    ledger: Ledger, policies: PolicySource, clock: Clock, observer: ServerObserver, *, notify: bool
) -> ApprovalParts:
    """Return the parts. `notify` is whether changes of approvals are written to the webhook outbox."""
    service = Approvals(ledger, policies, clock, notify)
    hub = Hub(ledger, observer.error)
    streams = ChangeStreams(ChangeFeeds(ledger, hub, clock))
    observer.metrics.watch_watchers(lambda: hub.subscription_count)

    async def count() -> None:
        observer.metrics.open_approvals.set(await ledger.count_due(StateTable.APPROVALS))

    servicer = ApprovalServicer(service, VoteVoiding(service), streams)
    return ApprovalParts(service, hub, servicer, streams, count)
