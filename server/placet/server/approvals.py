"""Approvals and the streams that tell what becomes of them, put together."""

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
"""How often open approvals are counted for the metrics: as often as most of those who read them."""


@dataclass(frozen=True, slots=True)
class Approving:
    """`hub.run` and, every now and then, `approvals.expire_due` and `count` belong into the background.

    `count` shows in the metrics how many approvals are open.
    """

    approvals: Approvals
    hub: Hub
    servicer: ApprovalServicer
    streams: ChangeStreams
    count: Callable[[], Awaitable[None]]


def approving(
    ledger: Ledger,
    policies: PolicySource,
    clock: Clock,
    reporter: ServerObserver,
    *,
    notify: bool,
) -> Approving:
    """Everything about approvals that is no decision. `notify`: there are webhooks to tell."""
    approvals = Approvals(ledger, policies, clock, notify)
    hub = Hub(ledger, reporter.fault)
    streams = ChangeStreams(ChangeFeeds(ledger, hub, clock))
    reporter.metrics.watch_watchers(lambda: hub.watchers)

    async def count() -> None:
        reporter.metrics.open_approvals.set(await ledger.count_due(StateTable.APPROVALS))

    servicer = ApprovalServicer(approvals, VoteVoiding(approvals), streams)
    return Approving(approvals, hub, servicer, streams, count)
