"""The core of a server process: its ledger, its policy source, and what every other part is built on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from placet import __version__
from placet.audit.decision_codec import server_stopped_commitment
from placet.authentication.file import read_authentication_file
from placet.kernel.errors import LedgerUnavailableError
from placet.server.ledger import open_recorded
from placet.server.ledger_clock import LedgerClock
from placet.server.observer import ServerObserver
from placet.server.parts.permit_keys import open_permit_keys
from placet.server.system import SystemClock
from placet.telemetry.log import configure
from placet.telemetry.metrics import Metrics
from placet.transport.tls import ServerTls

if TYPE_CHECKING:
    import contextlib

    from placet.authentication.document import AuthenticationDocument
    from placet.kernel.clock import Clock
    from placet.server.parts.permit_keys import PermitKeyParts
    from placet.server.parts.policies import RunningPolicies
    from placet.server.settings.model import Settings
    from placet.storage.ledger import ThreadedLedger


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts calls."""

    address: str
    policies: RunningPolicies
    ledger: ThreadedLedger
    metrics: Metrics
    background: asyncio.Task[None]  # ends only when one of the background loops fails
    http_address: str = ""  # URL of the HTTP server; "" for none


@dataclass(frozen=True, slots=True)
class Core:
    """What every other part is built on."""

    settings: Settings
    clock: LedgerClock
    observer: ServerObserver
    policies: RunningPolicies
    ledger: ThreadedLedger
    permit_keys: PermitKeyParts
    tls: ServerTls | None = None
    authentication: AuthenticationDocument | None = None
    """None where callers are not authenticated."""


def observed_clock(settings: Settings, metrics_dir: Path | None = None) -> tuple[LedgerClock, ServerObserver]:
    """Return the clock, and the observer that logs and counts. `metrics_dir` collects the metrics of all processes."""
    clock = LedgerClock(SystemClock(), settings.clock_skew_max_seconds)
    log = configure(settings.log_level, settings.log_format)
    return clock, ServerObserver(log, Metrics(metrics_dir), clock, settings.data_dir)


async def start_core(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    clock: LedgerClock,
    observer: ServerObserver,
    policies: RunningPolicies,
) -> Core:
    """Open the ledger, record the start and start the policy engine. The stack stops them in reverse order.

    ConfigurationError if the certificates or the authentication file cannot be used.
    """
    tls = ServerTls(settings.tls_files) if settings.tls_files is not None else None
    authentication = read_authentication_file(Path(settings.auth_file)) if settings.auth_file else None
    # Created only now: a start that fails before leaves no directory behind.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = await _open_ledger(stack, settings, clock, observer)
    permit_keys = await open_permit_keys(settings, ledger, clock, observer)
    stack.push_async_callback(policies.close)
    _record_shutdown(stack, ledger, clock)
    await policies.start()
    return Core(settings, clock, observer, policies, ledger, permit_keys, tls, authentication)


def serve_metrics(stack: contextlib.AsyncExitStack, core: Core) -> None:
    """Serve the metrics until the stack closes, when an address is set."""
    if core.settings.metrics_listen:
        tls = core.tls.context if core.tls is not None else None
        exporter = core.observer.metrics.serve(core.settings.metrics_listen, tls)
        stack.callback(exporter.server_close)
        stack.callback(exporter.shutdown)


async def _open_ledger(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: LedgerClock, observer: ServerObserver
) -> ThreadedLedger:
    """Open the ledger with the record of this start, and log how much of the trail was verified."""
    opened = await open_recorded(stack, settings, clock, observer.error)
    observer.ledger = opened.ledger
    counts = {"records": opened.checked.records, "checkpoints": opened.checked.checkpoints}
    observer.log.info("trail verified", writer=settings.replica_id, **counts)
    return opened.ledger


def _record_shutdown(stack: contextlib.AsyncExitStack, ledger: ThreadedLedger, clock: Clock) -> None:
    """At the end, record why the server stopped and sign the whole chain."""

    async def record(_type: object, error: BaseException | None, _traceback: object) -> None:
        reason = "stopped" if error is None or isinstance(error, asyncio.CancelledError) else "failed"
        try:
            await ledger.commit([server_stopped_commitment(__version__, reason, clock.wall_us())])
            await ledger.checkpoint()
        except LedgerUnavailableError as failure:
            raise LedgerUnavailableError(
                "stopped, but the end of the trail could not be signed; see the log for the cause, then run `placet "
                "audit verify`"
            ) from failure

    stack.push_async_exit(record)
