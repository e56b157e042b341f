"""A server of several processes: this one supervises, and the workers decide.

The supervisor is a server without calls. It opens the ledger as the writer `replica_id`, builds the policy, runs OPA,
and does what one process does for all: expiry, deletion, webhooks, metrics. Workers write as `replica_id.N`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from placet.server.address_file import rewrite_address_file, write_address_file
from placet.server.background import (
    POLICY_STATUS_SECONDS,
    loops_of_each_process,
    loops_of_one_process,
    run_in_background,
)
from placet.server.core import RunningServer, observed_clock, serve_metrics, start_core
from placet.server.http import serve_http
from placet.server.parts.approvals import build_approvals
from placet.server.parts.permit_keys import with_key_encryption
from placet.server.parts.policies import build_policies
from placet.server.settings.judged import judged_settings
from placet.server.tasks import first_of, periodic
from placet.transport.grpc.server import require_free
from placet.workers.messages import Begin
from placet.workers.policy_relay import PolicyRelay
from placet.workers.port import reserved_port
from placet.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from placet.revisions.status import PolicyEvent
    from placet.server.core import Core
    from placet.server.settings.model import Settings


@contextlib.asynccontextmanager
async def open_supervised(settings: Settings, metrics_dir: Path | None) -> AsyncIterator[RunningServer]:
    """Run the supervisor and its workers for the duration of the block. At its end the workers drain and end first.

    Raises ConfigurationError or PolicyInvalidError when the server cannot start.
    """
    settings.require_rego_dir()
    settings.require_data_dir()
    settings = await asyncio.to_thread(with_key_encryption, settings)
    clock, observer = observed_clock(settings, metrics_dir)
    log = observer.log
    relay = PolicyRelay(observer, settings.opa_timeout_ms / 1_000)

    async def listener(event: PolicyEvent) -> None:
        await relay.relay()
        await observer.policy_event(event)

    async with contextlib.AsyncExitStack() as stack:
        if settings.http_listen:
            require_free(settings.http_listen, "--http-listen")
        address = stack.enter_context(reserved_port(settings.listen))
        mtls_address = stack.enter_context(reserved_port(settings.mtls_listen)) if settings.mtls_listen else ""
        policies = build_policies(settings, clock, observer, listener)
        relay.follow(policies)
        core = await start_core(stack, settings, clock, observer, policies)
        serve_metrics(stack, core)
        approvals = build_approvals(core.ledger, policies, clock, observer, notify=bool(settings.webhook_url))
        relaying = periodic(POLICY_STATUS_SECONDS, relay.relay, observer)
        loops = [*loops_of_each_process(core), *loops_of_one_process(core, approvals), relaying]
        background = run_in_background(stack, observer.error, loops)
        supervisor = _supervisor(core, relay, address, mtls_address, metrics_dir)
        stack.push_async_callback(supervisor.stop)
        await supervisor.start()
        keeping = run_in_background(stack, observer.error, [supervisor.run])
        http_address = await serve_http(stack, core)
        _write_address_file(stack, supervisor, core, address)
        revision = policies.status().revision
        served = {"address": address, "policy_revision": revision, "replica": settings.replica_id}
        log.info("serving", workers=settings.workers, **served)
        stack.callback(log.info, "stopping")
        ended = asyncio.create_task(first_of(background, keeping))
        yield RunningServer(address, policies, core.ledger, observer.metrics, ended, http_address)
    log.info("stopped")


def _write_address_file(stack: contextlib.AsyncExitStack, supervisor: Supervisor, core: Core, address: str) -> None:
    """Write the address file, with the number of workers that accept calls, and keep that number current."""
    path, observer, workers = core.settings.data_dir / "serve.json", core.observer, core.settings.workers
    judged = judged_settings(core.settings)

    def tell(accepting: int) -> None:
        rewrite_address_file(path, address, observer, workers=workers, workers_accepting=accepting, settings=judged)

    write_address_file(stack, path, address, observer, workers=workers, workers_accepting=workers, settings=judged)
    supervisor.on_count(tell)
    stack.callback(supervisor.on_count, lambda _accepting: None)  # workers that stop do not write it again


def _supervisor(
    core: Core, relay: PolicyRelay, address: str, mtls_address: str, metrics_dir: Path | None
) -> Supervisor:
    inherited = core.ledger.lock_descriptors

    def begin(number: int) -> Begin:
        return Begin(core.settings.of_worker(number, inherited), address, mtls_address, metrics_dir)

    supervisor = Supervisor(core, relay, begin, core.settings.workers, inherited)
    if not core.settings.database_url.get_secret_value():  # PostgreSQL notifies all processes itself
        core.ledger.tell_others(supervisor.tell_stored)
    return supervisor
