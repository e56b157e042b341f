"""A worker: one process of a server of several, which decides over the database and the OPA that all share."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from placet.engine.shared import SharedPolicies
from placet.engine.source import Source
from placet.policy.toolchain.binary import find_opa
from placet.server.background import loops_of_each_process, run_in_background
from placet.server.core import RunningServer, observed_clock, start_core
from placet.server.parts.approvals import build_approvals
from placet.server.parts.policies import age_seconds_max, build_policies, engine_of
from placet.server.rpc import Rpc
from placet.server.tasks import first_of
from placet.workers.link import SupervisorLink
from placet.workers.messages import Channel

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from placet.server.ledger_clock import LedgerClock
    from placet.server.observer import ServerObserver
    from placet.server.parts.policies import RunningPolicies
    from placet.server.settings.model import Settings
    from placet.workers.messages import Begin


@contextlib.asynccontextmanager
async def open_worker(settings: Settings, begin: Begin, end: socket.socket) -> AsyncIterator[RunningServer]:
    """Run a worker for the duration of the block. `end` is its end of the channel to the supervisor."""
    clock, observer = observed_clock(settings, begin.metrics_dir)
    observer.log = observer.log.bind(worker=settings.replica_id)
    async with contextlib.AsyncExitStack() as stack:
        link = SupervisorLink(await Channel.over(end), observer)
        policies = _policies(settings, clock, observer, link)
        following = run_in_background(
            stack, observer.error, [link.run]
        )  # the last to stop: a draining worker decides too
        core = await start_core(stack, settings, clock, observer, policies)
        if not settings.database_url.get_secret_value():
            link.share_events(core.ledger)
        approvals = build_approvals(core.ledger, policies, clock, observer, notify=bool(settings.webhook_url))
        rpc = Rpc(core, approvals)
        background = run_in_background(stack, observer.error, [approvals.hub.run, *loops_of_each_process(core)])
        rpc.close_queues_with(stack)
        address = await rpc.start(stack, begin.listen, begin.mtls_listen, share_port=True)
        stack.callback(link.stopping)
        link.accept_calls()
        ended = asyncio.create_task(first_of(following, background))
        yield RunningServer(address, policies, core.ledger, observer.metrics, ended)


def _policies(
    settings: Settings, clock: LedgerClock, observer: ServerObserver, link: SupervisorLink
) -> RunningPolicies:
    """Return the policy source: an external OPA as every server asks it, else the OPA of the supervisor."""
    if settings.opa_address:
        link.await_policy()
        return build_policies(settings, clock, observer)

    async def on_ready(ready: bool) -> None:  # noqa: FBT001 - one fact
        await observer.set_policy_ready(ready=ready)

    policies = SharedPolicies(
        Source(settings.policy_root, settings.bundles_dir, age_seconds_max=age_seconds_max(settings)),
        engine_of(settings, find_opa(settings.opa_path).path, observer),
        clock,
        on_ready,
        link,
    )
    link.follow_policies(policies)
    return policies
