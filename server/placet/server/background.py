"""The loops that run beside the calls, until the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import SHARED_KEYS_LOOK_SECONDS
from placet.outcomes.expiry import expire_due, purge_idempotency_keys
from placet.server.ledger_clock import FOLLOW_SECONDS
from placet.server.loop_watchdog import LoopWatchdog
from placet.server.parts.approvals import COUNT_SECONDS
from placet.server.parts.certificates import follow_certificates
from placet.server.parts.outcomes import EXPIRY_SECONDS, SWEEP_SECONDS, default_give_back_bounds
from placet.server.parts.webhooks import build_webhook_sender
from placet.server.tasks import follow_ledger, periodic, probe_store, run_all, unless_skewed

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Coroutine, Sequence

    from placet.server.core import Core
    from placet.server.parts.approvals import ApprovalParts

    Loop = Callable[[], Coroutine[object, object, None]]

SAMPLE_SECONDS: Final = 1.0
"""Interval at which a process writes the gauges that it computes, when several processes share the metrics."""
POLICY_STATUS_SECONDS: Final = 1.0
"""Interval of the policy status in metrics and health: health lags behind decisions by at most this."""
UNSAFE_SECONDS: Final = 3_600.0
"""Interval at which the log says that unsafe_no_auth is set."""
START_SECONDS: Final = 2.0
"""Blocks of the event loop this soon are part of the start, such as its garbage collection, and are not logged."""


def loops_of_each_process(core: Core) -> list[Loop]:
    """Return the loops of every process: its policy, its chain, its clock and its health."""
    settings, clock, observer, ledger = core.settings, core.clock, core.observer, core.ledger
    loops = [
        core.policies.run,
        LoopWatchdog(observer.metrics.loop_lag.observe, observer.loop_blocked, START_SECONDS).run,
        periodic(settings.checkpoint_interval_seconds, ledger.checkpoint, observer),
        probe_store(ledger, observer),
        periodic(FOLLOW_SECONDS, lambda: follow_ledger(ledger, clock, observer), observer),
        periodic(POLICY_STATUS_SECONDS, lambda: observer.policy_status(core.policies.status()), observer),
    ]
    if core.tls is not None:
        loops.append(follow_certificates(core.tls, observer))
    if core.permit_keys.shared is not None:
        loops.append(periodic(SHARED_KEYS_LOOK_SECONDS, core.permit_keys.shared.renew, observer))
    if settings.metrics_listen:
        loops.append(periodic(SAMPLE_SECONDS, observer.sample_metrics, observer))
    return loops


def loops_of_one_process(core: Core, approvals: ApprovalParts) -> list[Loop]:
    """Return the loops that one process runs for all that share the database: expiry, deletion, webhooks, counts."""
    settings, clock, observer, ledger = core.settings, core.clock, core.observer, core.ledger

    async def expire() -> int:
        return await expire_due(ledger, clock, core.policies, default_give_back_bounds(settings))

    async def purge_keys() -> None:
        await purge_idempotency_keys(ledger, clock, settings.idempotency_retention_hours)

    loops = [
        periodic(EXPIRY_SECONDS, unless_skewed(clock, expire), observer),
        periodic(EXPIRY_SECONDS, unless_skewed(clock, approvals.service.expire_due), observer),
        periodic(SWEEP_SECONDS, unless_skewed(clock, purge_keys), observer),
    ]
    if settings.unsafe_no_auth:
        loops.append(periodic(UNSAFE_SECONDS, lambda: observer.unsafe(settings.listen), observer))
    if sender := build_webhook_sender(settings, ledger, clock, observer):
        loops.append(sender.run)
    if settings.metrics_listen:
        loops.append(periodic(COUNT_SECONDS, approvals.count, observer))
    return loops


def run_in_background(
    stack: contextlib.AsyncExitStack, on_error: Callable[[BaseException], None], loops: Sequence[Loop]
) -> asyncio.Task[None]:
    """Run the loops until the stack closes. The task ends only when one of them fails, which `on_error` receives."""
    background = asyncio.create_task(run_all(loops, on_error))

    async def cancel() -> None:
        background.cancel()
        await asyncio.wait({background})

    stack.push_async_callback(cancel)
    return background
