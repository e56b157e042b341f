"""The parts of a server, picked and put together; taken apart in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet import __version__
from placet.approvals.page import ApprovalPage
from placet.audit.decision_codec import server_stopped_commitment
from placet.engine.client import OpaClient
from placet.engine.external import CANARY_INTERVAL_SECONDS, ExternalPolicies
from placet.engine.generation import Engine
from placet.engine.http import Address
from placet.engine.managed import ManagedPolicies
from placet.engine.pinned import PinnedProgram
from placet.engine.source import CONFIRM_INTERVAL_SECONDS, Source
from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.kernel.limits import SHUTDOWN_SECONDS_MAX
from placet.outcomes.expiry import expire_due, purge_idempotency_keys
from placet.permits.claims import jwk_set
from placet.policy.bundles.removal_question import RemovalQuestion
from placet.policy.files.tenant_files import load_agent_policies
from placet.policy.toolchain.binary import find_opa
from placet.revisions.memory import LedgerMemory
from placet.server.approvals import COUNT_SECONDS, approving
from placet.server.controls import control_servicer
from placet.server.decisions import deciding
from placet.server.ledger import start_recording
from placet.server.ledger_clock import FOLLOW_SECONDS, LedgerClock
from placet.server.observer import ServerObserver
from placet.server.outcomes import EXPIRY_SECONDS, SWEEP_SECONDS, settling
from placet.server.system import SystemClock
from placet.server.tasks import background, follow_the_ledger, periodic, probe_the_store, unless_skewed, watch_the_loop
from placet.server.webhooks import webhook_sender
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
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from placet.kernel.clock import Clock
    from placet.permits.claims import PermitKeys
    from placet.server.settings import Settings
    from placet.storage.ledger import ThreadedLedger

POLICY_STATUS_SECONDS: Final = 1.0
"""How often the policy's age is told: so late at most does health say what decisions say."""
LOOKS_PER_AGE: Final = 3
"""A policy is confirmed as current at least so many times within max_policy_age_seconds."""
RPC_GRACE_SECONDS: Final = SHUTDOWN_SECONDS_MAX - 4
"""What calls under way get at a stop; the rest of the time is for the last commit, the checkpoint and OPA's end."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens."""

    address: str
    policies: ManagedPolicies | ExternalPolicies
    ledger: ThreadedLedger
    metrics: Metrics
    background: asyncio.Task[None]


@contextlib.asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[RunningServer]:
    """A server that listens, until the end of the block: then it drains, commits, signs a checkpoint and stops OPA.

    Whatever was begun is ended, in the reverse order, also when the start fails half-way or one of the ends fails.
    """
    settings.require_rego_dir()
    settings.require_data_dir()
    require_free(settings.listen)  # before a start that takes seconds and says so
    clock = LedgerClock(SystemClock(), settings.clock_skew_max_seconds)
    log = configure(settings.log_level, settings.log_format)
    data_dir = settings.data_dir
    reporter = ServerObserver(log, Metrics(), clock, data_dir)
    async with contextlib.AsyncExitStack() as stack:
        policies = _policies(settings, clock, reporter)
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # not before what a start may end at without it
        ledger = await _recording(stack, settings, clock, reporter)
        permit_keys = PermitKeyFolder(settings.permit_keys_dir, clock, reporter.fault)
        stack.push_async_callback(policies.close)
        _record_shutdown(stack, ledger, clock)
        await policies.start()
        if settings.metrics_listen:
            exporter, _ = reporter.metrics.serve(settings.metrics_listen)
            stack.callback(exporter.server_close)
            stack.callback(exporter.shutdown)
        path = deciding(settings, clock, policies, ledger, reporter)
        outcomes = settling(settings, clock, policies, ledger, reporter)
        asked = approving(ledger, policies, clock, reporter, notify=bool(settings.webhook_url))
        page = ApprovalPage.parse(settings.approval_url)
        servicers = Servicers(
            AuthorizationServicer(path.decisions, outcomes, asked.streams, permit_keys, clock, Flows(policies), page),
            asked.servicer,
            AuditServicer(ledger),
            control_servicer(clock, policies, ledger, path.controls, reporter.health, _published(permit_keys)),
            asked.streams,
        )
        kept_hours = settings.idempotency_retention_hours
        sender = webhook_sender(settings, ledger, clock, reporter)
        watched = (
            policies.run,
            asked.hub.run,
            *((sender.run,) if sender is not None else ()),
            periodic(settings.checkpoint_interval_seconds, ledger.checkpoint, reporter),
            probe_the_store(ledger, reporter),
            periodic(FOLLOW_SECONDS, lambda: follow_the_ledger(ledger, clock, reporter), reporter),
            periodic(POLICY_STATUS_SECONDS, lambda: reporter.policy_status(policies.status()), reporter),
            periodic(EXPIRY_SECONDS, unless_skewed(clock, lambda: expire_due(ledger, clock)), reporter),
            periodic(EXPIRY_SECONDS, unless_skewed(clock, asked.approvals.expire_due), reporter),
            *(
                (periodic(COUNT_SECONDS, asked.count, reporter), watch_the_loop(reporter.metrics.loop_lag.observe))
                if settings.metrics_listen
                else ()
            ),
            periodic(
                SWEEP_SECONDS, unless_skewed(clock, lambda: purge_idempotency_keys(ledger, clock, kept_hours)), reporter
            ),
        )
        beside = asyncio.create_task(background(watched, reporter.fault))
        stack.push_async_callback(_end, beside)
        stack.push_async_callback(path.refusals.close)
        stack.push_async_callback(path.decisions.close)
        stack.push_async_callback(outcomes.close)
        recorder = InvalidRequestRecorder(path.refusals, clock)
        interceptors = interceptor_chain(Intake(reporter.shed), recorder, reporter.fault)
        rpc = RpcServer(servicers, interceptors, reflect=settings.reflection)
        stack.push_async_callback(rpc.stop, RPC_GRACE_SECONDS)
        address = await rpc.start(settings.listen)
        reporter.rpc = rpc
        await reporter.show_health()
        _write_address_file(stack, data_dir / "serve.json", address, reporter)
        log.info("serving", address=address, policy_revision=policies.status().revision, replica=settings.replica_id)
        stack.callback(log.info, "stopping")
        yield RunningServer(address, policies, ledger, reporter.metrics, beside)
    log.info("stopped")


async def _recording(
    stack: contextlib.AsyncExitStack, settings: Settings, clock: LedgerClock, reporter: ServerObserver
) -> ThreadedLedger:
    """The ledger, open, with the record of this start; the log says how much of it was verified."""
    opened = await start_recording(stack, settings, clock, reporter.fault)
    reporter.ledger = opened.ledger
    counted = {"records": opened.checked.records, "checkpoints": opened.checked.checkpoints}
    reporter.log.info("trail verified", writer=settings.replica_id, **counted)
    return opened.ledger


def _published(permit_keys: PermitKeys) -> Callable[[], Awaitable[str]]:
    async def jwks() -> str:
        return jwk_set(permit_keys.known())

    return jwks


def _record_shutdown(stack: contextlib.AsyncExitStack, ledger: ThreadedLedger, clock: Clock) -> None:
    """At the end, record why, and sign all of the chain."""

    async def tell(_type: object, fault: BaseException | None, _traceback: object) -> None:
        reason = "stopped" if fault is None or isinstance(fault, asyncio.CancelledError) else "failed"
        try:
            await ledger.commit([server_stopped_commitment(__version__, reason, clock.wall_us())])
            await ledger.checkpoint()
        except LedgerUnavailableError as error:
            raise LedgerUnavailableError(
                "stopped, but the trail could not be signed to its end; the log says why; run `placet audit verify`"
            ) from error

    stack.push_async_exit(tell)


def _write_address_file(stack: contextlib.AsyncExitStack, path: Path, address: str, reporter: ServerObserver) -> None:
    """Say in a file where the server listens, whole or not at all, for as long as it does. ConfigurationError."""
    draft = path.with_suffix(".new")
    try:
        draft.write_bytes(orjson.dumps({"address": address, "pid": os.getpid()}))
        draft.replace(path)
    except OSError as error:
        remedy = remedy_for(error, "remove what is there, and let Placet's user own its folder")
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
    stack.callback(_withdraw, path, reporter)


def _withdraw(path: Path, reporter: ServerObserver) -> None:
    """Remove the file. One that cannot be removed is told, and is no failure of a stop."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        reporter.fault(error)


async def _end(background: asyncio.Task[None]) -> None:
    background.cancel()
    await asyncio.wait({background})


def _policies(settings: Settings, clock: Clock, reporter: ServerObserver) -> ManagedPolicies | ExternalPolicies:
    timeout_seconds = settings.opa_timeout_ms / 1_000
    memory = LedgerMemory(reporter.opened_ledger, clock, settings.replica_id)
    reporter.on_activated = memory.activated
    age_max = settings.max_policy_age_seconds or math.inf
    if settings.opa_address:
        client = OpaClient(
            Address.parse(settings.opa_address),
            timeout_seconds=timeout_seconds,
            expected_revision=settings.opa_required_revision,
            on_failure=reporter.engine_failure,
        )
        agent_policies = load_agent_policies(settings.rego_dir)
        interval = min(CANARY_INTERVAL_SECONDS, age_max / LOOKS_PER_AGE)
        told = reporter.policy_event
        return ExternalPolicies(client, agent_policies, clock, told, timeout_seconds, interval, age_max)
    opa = find_opa(settings.opa_path)
    log, program = settings.data_dir / "opa.log", PinnedProgram(opa.path)
    engine = Engine(opa.path, log, timeout_seconds, reporter.engine_failure, program)
    interval = min(CONFIRM_INTERVAL_SECONDS, age_max / LOOKS_PER_AGE)
    source = Source(settings.rego_dir, settings.bundles_dir, interval, age_max)
    asks = settings.confirm_policy_removals
    question = RemovalQuestion(memory, settings.bundles_dir, reporter.fault, asks=asks)
    return ManagedPolicies(source, engine, clock, reporter.policy_event, reporter.fault, opa.version, question)
