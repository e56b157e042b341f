"""The composition root: builds the parts of a server, starts them in order and stops them in reverse.

`placet.server` is the only package that picks concrete implementations: the clock, the ledger, the policy engine, the
transport. A server of several processes is built from the same parts by `placet.workers`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from placet.server.address_file import write_address_file
from placet.server.background import loops_of_each_process, loops_of_one_process, run_in_background
from placet.server.core import RunningServer, observed_clock, serve_metrics, start_core
from placet.server.http import serve_http
from placet.server.parts.approvals import build_approvals
from placet.server.parts.permit_keys import with_key_encryption
from placet.server.parts.policies import build_policies
from placet.server.rpc import Rpc
from placet.server.settings.judged import judged_settings
from placet.transport.grpc.server import require_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from placet.server.settings.model import Settings


@contextlib.asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[RunningServer]:
    """Run a server for the duration of the block. At its end: drain, commit, sign a checkpoint, stop OPA.

    Every started part is stopped in reverse order, also when the start fails half-way or a stop fails. Raises
    ConfigurationError or PolicyInvalidError when the server cannot start.
    """
    settings.require_rego_dir()
    settings.require_data_dir()
    settings = await asyncio.to_thread(with_key_encryption, settings)
    for listen in filter(None, (settings.listen, settings.mtls_listen)):
        require_free(listen)  # fail now rather than after seconds of starting
    if settings.http_listen:
        require_free(settings.http_listen, "--http-listen")
    clock, observer = observed_clock(settings)
    log = observer.log
    async with contextlib.AsyncExitStack() as stack:
        core = await start_core(stack, settings, clock, observer, build_policies(settings, clock, observer))
        serve_metrics(stack, core)
        approvals = build_approvals(core.ledger, core.policies, clock, observer, notify=bool(settings.webhook_url))
        rpc = Rpc(core, approvals)
        loops = [approvals.hub.run, *loops_of_each_process(core), *loops_of_one_process(core, approvals)]
        background = run_in_background(stack, observer.error, loops)
        rpc.close_queues_with(stack)
        http_address = await serve_http(stack, core)
        address = await rpc.start(stack, settings.listen, settings.mtls_listen)
        judged = judged_settings(settings)
        write_address_file(stack, settings.data_dir / "serve.json", address, observer, settings=judged)
        revision = core.policies.status().revision
        log.info("serving", address=address, policy_revision=revision, replica=settings.replica_id)
        stack.callback(log.info, "stopping")
        yield RunningServer(address, core.policies, core.ledger, observer.metrics, background, http_address)
    log.info("stopped")
