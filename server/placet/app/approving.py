"""Approvals and the streams that tell what becomes of them, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.rpc.approval import ApprovalService
from placet.rpc.watch import Watching
from placet.service.approvals import Approvals
from placet.service.following import Following
from placet.service.watching import Hub

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.core.ports import Clock, Ledger
    from placet.rpc.refusing import RefusalLog


@dataclass(frozen=True, slots=True)
class Approving:
    """`hub.run` and, every now and then, `approvals.expire_due` belong into the background."""

    approvals: Approvals
    hub: Hub
    service: ApprovalService
    watching: Watching


def approving(
    ledger: Ledger, clock: Clock, refusals: RefusalLog, on_fault: Callable[[BaseException], None], *, notify: bool
) -> Approving:
    """Everything about approvals that is no decision. `notify`: there are webhooks to tell."""
    approvals = Approvals(ledger, clock, notify)
    hub = Hub(ledger, on_fault)
    watching = Watching(Following(ledger, hub, clock), refusals)
    return Approving(approvals, hub, ApprovalService(approvals, watching, refusals), watching)
