"""The composition root: builds the parts of a server, starts them in order and stops them in reverse.

This is the only module that picks concrete implementations: the clock, the ledger, the policy engine, the transport.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet import __version__
from placet.approvals.page import ApprovalUrlTemplate
from placet.audit.decision_codec import server_stopped_commitment
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import SHUTDOWN_SECONDS_MAX
from placet.outcomes.expiry import expire_due, purge_idempotency_keys
from placet.permits.claims import jwk_set
from placet.permits.issuing import PermitIssuer
from placet.server.address_file import write_address_file
from placet.server.approvals import COUNT_SECONDS, ApprovalParts, build_approvals
from placet.server.controls import control_servicer
from placet.server.decisions import DecisionParts, build_decisions
from placet.server.ledger import open_recorded
from placet.server.ledger_clock import FOLLOW_SECONDS, LedgerClock
from placet.server.loop_watchdog import LoopWatchdog
from placet.server.observer import ServerObserver
from placet.server.outcomes import EXPIRY_SECONDS, SWEEP_SECONDS, build_outcomes
from placet.server.policies import build_policies
from placet.server.system import SystemClock
from placet.server.tasks import follow_ledger, periodic, probe_store, run_all, unless_skewed
from placet.server.webhooks import build_webhook_sender
from placet.signing.permit_keys import PermitKeyFolder
from placet.telemetry.log import configure
from placet.telemetry.metrics import Metrics
from placet.transport.grpc.flows import Flows
from placet.transport.grpc.intake import Intake
from placet.transport.grpc.interceptors.chain import interceptor_chain
from placet.transport.grpc.interceptors.invalid_requests import InvalidRequestRecorder
from placet.transport.grpc.server import RpcServer, Servicers, require_free
from placet.transport.grpc.services.audit import AuditServicer
from placet.transport.grpc.services.authorization import AuthorizationServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from placet.actions.outcome import OutcomeReport
    from placet.engine.external import ExternalPolicies
    from placet.engine.managed import ManagedPolicies
    from placet.kernel.clock import Clock
    from placet.outcomes.service import OutcomeReply
    from placet.permits.claims import PermitKeys
    from placet.scheduling.batching import Batcher
    from placet.server.settings import Settings
    from placet.storage.ledger import ThreadedLedger

POLICY_STATUS_SECONDS: Final = 1.0
"""Interval of the policy status in metrics and health: health lags behind decisions by at most this."""
RPC_GRACE_SECONDS: Final = SHUTDOWN_SECONDS_MAX - 4
"""Time that running calls get at a stop. The rest is for the last commit, the checkpoint and the end of OPA."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts calls."""

    address: str
    policies: ManagedPolicies | ExternalPolicies
    ledger: ThreadedLedger
    metrics: Metrics
    background: asyncio.Task[None]  # ends only when one of the background loops fails


@dataclass(frozen=True, slots=True)
class _Core:
    """What every other part is built on."""

    settings: Settings
    clock: LedgerClock
    observer: ServerObserver
    policies: ManagedPolicies | ExternalPolicies
    ledger: ThreadedLedger
    permit_keys: PermitKeyFolder


@contextlib.asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[RunningServer]:
    """Run a server for the duration of the block. At its end: drain, commit, sign a checkpoint, stop OPA.

    Every started part is stopped in reverse order, also when the start fails half-way or a stop fails. Raises
    ConfigurationError or PolicyInvalidError when the server cannot start.
    """
    settings.require_rego_dir()
    settings.require_data_dir()
    require_free(settings.listen)  # fail now rather than after seconds of starting
    clock = LedgerClock(SystemClock(), settings.clock_skew_max_seconds)
    log = configure(settings.log_level, settings.log_format)
    observer = ServerObserver(log, Metrics(), clock, settings.data_dir)
    async with contextlib.AsyncExitStack() as stack:
        core = await _start_core(stack, settings, clock, observer)
        approvals = build_approvals(core.ledger, core.policies, clock, observer, notify=bool(settings.webhook_url))
        decisions = build_decisions(settings, clock, core.policies, core.ledger, observer)
        outcomes = build_outcomes(settings, clock, core.policies, core.ledger, observer)
        background = asyncio.create_task(run_all(_background_loops(core, approvals), observer.error))
        stack.push_async_callback(_cancel, background)
        stack.push_async_callback(decisions.invalid_requests.close)
        stack.push_async_callback(decisions.slow_requests.close)
        stack.push_async_callback(decisions.requests.close)
        stack.push_async_callback(outcomes.close)
        rpc = _build_rpc(core, approvals, decisions, outcomes)
        stack.push_async_callback(rpc.stop, RPC_GRACE_SECONDS)
        address = await rpc.start(settings.listen)
        observer.rpc = rpc
        await observer.show_health()
        write_address_file(stack, settings.data_dir / "serve.json", address, observer)
        revision = core.policies.status().revision
        log.info("serving", address=address, policy_revision=revision, replica=settings.replica_id)
        stack.callback(log.info, "stopping")
        yield RunningServer(address, core.policies, core.ledger, observer.metrics, background)
    log.info("stopped")


async def _start_core(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: LedgerClock, observer: ServerObserver
) -> _Core:
    """Open the ledger, record the start, start the policy engine and the metrics endpoint."""
    policies = build_policies(settings, clock, observer)
    # Created only now: a start that fails before leaves no directory behind.
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = await _open_ledger(stack, settings, clock, observer)
    permit_keys = PermitKeyFolder(settings.permit_keys_dir, clock, observer.error)
    stack.push_async_callback(policies.close)
    _record_shutdown(stack, ledger, clock)
    await policies.start()
    if settings.metrics_listen:
        exporter, _ = observer.metrics.serve(settings.metrics_listen)
        stack.callback(exporter.server_close)
        stack.callback(exporter.shutdown)
    return _Core(settings, clock, observer, policies, ledger, permit_keys)


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


def _background_loops(core: _Core, approvals: ApprovalParts) -> list[Callable[[], Coroutine[object, object, None]]]:
    """Return everything that runs beside the calls, until the server stops."""
    settings, clock, observer, ledger = core.settings, core.clock, core.observer, core.ledger

    async def purge_keys() -> None:
        await purge_idempotency_keys(ledger, clock, settings.idempotency_retention_hours)

    loops = [
        core.policies.run,
        approvals.hub.run,
        LoopWatchdog(observer.metrics.loop_lag.observe, observer.loop_blocked).run,
        periodic(settings.checkpoint_interval_seconds, ledger.checkpoint, observer),
        probe_store(ledger, observer),
        periodic(FOLLOW_SECONDS, lambda: follow_ledger(ledger, clock, observer), observer),
        periodic(POLICY_STATUS_SECONDS, lambda: observer.policy_status(core.policies.status()), observer),
        periodic(EXPIRY_SECONDS, unless_skewed(clock, lambda: expire_due(ledger, clock)), observer),
        periodic(EXPIRY_SECONDS, unless_skewed(clock, approvals.service.expire_due), observer),
        periodic(SWEEP_SECONDS, unless_skewed(clock, purge_keys), observer),
    ]
    if sender := build_webhook_sender(settings, ledger, clock, observer):
        loops.append(sender.run)
    if settings.metrics_listen:
        loops.append(periodic(COUNT_SECONDS, approvals.count, observer))
    return loops


def _build_rpc(
    core: _Core,
    approvals: ApprovalParts,
    decisions: DecisionParts,
    outcomes: Batcher[OutcomeReport, OutcomeReply],
) -> RpcServer:
    settings, clock, observer, policies = core.settings, core.clock, core.observer, core.policies
    authorization = AuthorizationServicer(
        decisions.requests,
        outcomes,
        approvals.streams,
        PermitIssuer(core.permit_keys, policies),
        clock,
        Flows(policies),
        ApprovalUrlTemplate.parse(settings.approval_url),
    )
    control = control_servicer(
        clock, policies, core.ledger, decisions.controls, observer.health, _jwk_set_of(core.permit_keys)
    )
    servicers = Servicers(authorization, approvals.servicer, AuditServicer(core.ledger), control, approvals.streams)
    recorder = InvalidRequestRecorder(decisions.invalid_requests, clock)
    intake = Intake(observer.shed)
    interceptors = interceptor_chain(intake, recorder, observer.error)
    return RpcServer(servicers, interceptors, intake, reflect=settings.reflection)


def _jwk_set_of(permit_keys: PermitKeys) -> Callable[[], Awaitable[str]]:
    async def jwks() -> str:
        return jwk_set(permit_keys.known())

    return jwks


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
