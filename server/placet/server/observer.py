"""Reports what happens in a server to the log, the metrics, health and the audit trail."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.audit.decision_codec import (
    policy_held_commitment,
    policy_refused_commitment,
)
from placet.kernel import rule_ids
from placet.kernel.clock import rfc3339
from placet.kernel.errors import UnauthenticatedError
from placet.revisions.status import (
    EngineMode,
    PolicyEvent,
    PolicyEventKind,
    PolicyStatus,
    ServerHealth,
    how_to_confirm,
)
from placet.server.engine_outage import EngineOutage
from placet.webhooks.sender import TryResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from structlog.stdlib import BoundLogger

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.authentication.issuer_keys import KeysReport
    from placet.kernel.clock import Clock
    from placet.kernel.model import Caller
    from placet.revisions.status import SlowPack
    from placet.server.ledger_clock import LedgerClock
    from placet.telemetry.metrics import Metrics
    from placet.transport.grpc.interceptors.refused_access import Refusal
    from placet.transport.grpc.server import RpcServer
    from placet.webhooks.sender import TryReport

ENGINE: Final = "placet.engine"
POLICY: Final = "placet.policy"
STORE: Final = "placet.store"
"""Names of the server's parts in grpc.health.v1, beside the services."""
WARNING_EVENTS: Final = frozenset(
    {PolicyEventKind.REFUSED, PolicyEventKind.NOT_READY, PolicyEventKind.CACHE_REFUSED, PolicyEventKind.HELD}
)
"""Policy events that an operator should look at."""

CLOCK_BEHIND_LOGGED_SECONDS: Final = 1.0
"""Smaller distances are not logged: replicas' clocks always differ a little."""


class ServerObserver:
    """Receives events of all parts of a server."""

    def __init__(self, log: BoundLogger, metrics: Metrics, clock: Clock, data_dir: Path = Path()) -> None:
        self.log = log
        self.metrics = metrics
        self._clock = clock
        self._data_dir = data_dir
        metrics.follow(metrics.data_dir_free_bytes, lambda: float(self.free_bytes()))
        metrics.follow(metrics.sqlite_wal_bytes, lambda: float(self.wal_bytes()))
        self.rpc: RpcServer | None = None
        self.ledger: Ledger | None = None
        self.on_activated: Callable[[PolicyEvent], Awaitable[None]] = _ignore
        self.ledger_works = True
        self._store_error = ""
        self._issuers_unreadable: dict[str, str] = {}
        self._clock_behind = False
        self._clock_skewed = ""
        self._policy_ready = False
        self._outage = EngineOutage(log, clock.monotonic)
        self._policy = PolicyStatus(ready=False, engine_mode=EngineMode.MANAGED)

    def open_ledger(self) -> Ledger:
        """Return the ledger. Call it only after the ledger was opened."""
        if self.ledger is None:
            raise AssertionError("the ledger is opened before policies start")
        return self.ledger

    def error(self, error: BaseException) -> None:
        """Report an internal error."""
        self.metrics.faults.inc()
        self.log.error("internal error", exc_info=error)

    def engine_failure(self, rule_id: str, cause: str) -> None:
        """Report a query that OPA did not answer correctly."""
        self.metrics.engine_failures.labels(rule_id).inc()
        self._outage.failed(rule_id, cause)

    async def clocks(self, clock: LedgerClock) -> None:
        """Report the clock skew: always to the metrics, and to log and health when it crosses the limit."""
        self._clock_behind_by(clock.behind_seconds())
        ahead_seconds = clock.ahead_of_server_seconds()
        self.metrics.clock_ahead_seconds.set(ahead_seconds)
        was, self._clock_skewed = self._clock_skewed, _skew(clock)
        if self._clock_skewed and not was:
            skew = {"behind_records_seconds": clock.behind_seconds(), "ahead_of_database_seconds": ahead_seconds}
            self.log.error("clock skewed", rule_id=rule_ids.CLOCK_SKEW, **skew)
        elif was and not self._clock_skewed:
            self.log.info("clock no longer skewed")
        if bool(was) != bool(self._clock_skewed):
            await self.show_health()

    def _clock_behind_by(self, seconds: float) -> None:
        self.metrics.clock_behind_seconds.set(seconds)
        was, self._clock_behind = self._clock_behind, seconds >= CLOCK_BEHIND_LOGGED_SECONDS
        if self._clock_behind and not was:
            self.log.warning("clock behind", seconds=seconds)
        elif was and not self._clock_behind:
            self.log.info("clock right again")

    async def unsafe(self, listen: str) -> None:
        """Report that anyone who reaches the server may call it."""
        self.log.warning("callers not authenticated", setting="unsafe_no_auth", listen=listen)

    def certificates(self, not_after: datetime, *, reloaded: bool) -> None:
        """Report the certificate that the listeners present, and whether it was read anew."""
        self.metrics.certificate_expires.set(not_after.timestamp())
        if reloaded:
            self.log.info("certificates reloaded", expires_at=not_after.isoformat())

    def certificates_unusable(self, cause: str) -> None:
        """Report changed certificate files that cannot be used. The listeners keep the certificates that they have."""
        self.log.error("certificates unusable", cause=cause)

    def permit_keys_unusable(self, error: BaseException) -> None:
        """Report changed permit keys that cannot be used. The process keeps the keys that it has."""
        self.metrics.faults.inc()
        self.log.error("permit keys unusable", cause=str(error))

    def access_refused(self, reason: str) -> None:
        """Count a call that was refused to its caller."""
        self.metrics.access_refused.labels(reason).inc()

    def access_refusal_recorded(
        self, caller: Caller, host: str, method: str, error: Refusal, tenant: str, left_out: int
    ) -> None:
        """Log a call that was refused to its caller, with the cause, which the answer does not have."""
        cause = (isinstance(error, UnauthenticatedError) and error.cause) or str(error)
        who = {"caller": caller.name, "host": host, "tenant": tenant, "method": method}
        self.log.warning("access refused", reason=error.reason, cause=cause, left_out=left_out, **who)

    def shed(self, reason: str, count: int) -> None:
        """Count actions or calls that were rejected under load."""
        self.metrics.shed.labels(reason).inc(count)

    def slow_pack(self, pack: SlowPack) -> None:
        """Report the rule pack that made policy slow for an input."""
        self.metrics.slow_packs.labels(pack.pack).inc()
        fields = {"seconds": pack.seconds, "ended": pack.ended, "bytes": pack.input_bytes}
        self.log.warning("policy slow", pack=pack.pack, tool=pack.tool, tenant=pack.tenant, **fields)

    def issuer_keys(self, report: KeysReport) -> None:
        """Report that the keys of an issuer were read, or could not be read."""
        self.metrics.issuer_keys_unreadable.labels(report.issuer).set(int(bool(report.error)))
        if not report.error:
            self._issuers_unreadable.pop(report.issuer, None)
            self.log.info("issuer keys read", issuer=report.issuer, keys=report.keys, skipped=list(report.skipped))
            return
        until = rfc3339(report.usable_until_us) if report.usable_until_us else "none; its tokens are refused"
        self._issuers_unreadable[report.issuer] = f"{report.issuer}: {report.error}; last keys count until: {until}"
        self.log.error("issuer keys unreadable", issuer=report.issuer, cause=report.error, last_keys_count_until=until)

    def loop_blocked(self, seconds: float, cpu_seconds: float, functions: str) -> None:
        """Report that something blocked the event loop, and which functions ran then."""
        self.log.warning("event loop blocked", seconds=seconds, cpu_seconds=cpu_seconds, functions=functions)

    def give_back_refused(self, tenant: str, decision_id: str, budgets: Sequence[str]) -> None:
        """Report an outcome that did not give back all that its call left unused."""
        self.metrics.give_backs_refused.inc()
        self.log.warning("give-back refused", tenant=tenant, decision_id=decision_id, budgets=list(budgets))

    def outcome_held(self, tenant: str, decision_id: str, budgets: Sequence[str]) -> None:
        """Report an outcome far above its reservation, of which a part is held for an operator."""
        self.metrics.outcomes_held.inc()
        self.log.warning("outcome held", tenant=tenant, decision_id=decision_id, budgets=list(budgets))

    def invalid_verdict(self, rule_id: str, why: str) -> None:
        """Report a verdict of OPA that failed validation."""
        self.metrics.engine_failures.labels(rule_id).inc()
        self.log.warning("invalid policy verdict", rule_id=rule_id, cause=why)

    def webhook(self, report: TryReport) -> None:
        """Report one attempt to deliver a webhook."""
        self.metrics.webhooks.labels(report.result.value).inc()
        fields = {"event_id": report.event_id, "tenant": report.tenant, "tries": report.tries, "cause": report.cause}
        if report.result is TryResult.FAILED:
            self.log.warning("webhook failed", **fields)
        elif report.result is TryResult.GAVE_UP:
            self.log.error("webhook given up", **fields)

    async def policy_event(self, event: PolicyEvent) -> None:
        """Report an event of the policy: to log and metrics, and to the trail where it must be audited."""
        needs_attention = event.kind in WARNING_EVENTS
        write = self.log.warning if needs_attention else self.log.info
        write(f"policy {event.kind}", revision=event.revision, detail=event.detail, **_decides(event), **_pushed(event))
        now_us = self._clock.wall_us()
        match event.kind:
            case PolicyEventKind.ACTIVATED:
                self.metrics.reloads.labels("accepted").inc()
                await self._report_failure_of(lambda: self.on_activated(event))
                await self.set_policy_ready(ready=True)
            case PolicyEventKind.REFUSED:
                self.metrics.reloads.labels("refused").inc()
                await self._record(policy_refused_commitment(event.revision, event.detail.splitlines(), now_us))
            case PolicyEventKind.HELD:
                held, lost = event.held_revision, event.detail.splitlines()
                await self._record(policy_held_commitment(event.revision, held, lost, now_us, event.pusher.name))
            case PolicyEventKind.CACHE_REFUSED:
                self.metrics.cache_refused.inc()
            case PolicyEventKind.ENGINE_RESTARTED:
                self.metrics.engine_restarts.inc()
            case PolicyEventKind.READY | PolicyEventKind.NOT_READY:
                await self.set_policy_ready(ready=event.kind is PolicyEventKind.READY)

    async def set_policy_ready(self, *, ready: bool) -> None:
        """Report whether OPA answers."""
        self._policy_ready = ready
        await self.show_health()

    async def sample_metrics(self) -> None:
        """Write the gauges that are computed when several processes share the metrics."""
        self.metrics.sample()

    async def policy_status(self, status: PolicyStatus) -> None:
        """Update the metrics; report to log and health when the policy becomes stale or stops being stale."""
        self._outage.look(ready=self._policy_ready)
        was_stale, was_newest = self._policy.stale, self._policy.serves_newest
        self._policy = status
        now_us = self._clock.wall_us()
        left = (status.decides_until_us - now_us) / 1e6 if status.decides_until_us else math.inf
        self.metrics.policy_refused.set(int(bool(status.last_error)))
        self.metrics.policy_held.set(int(bool(status.held_revision)))
        self.metrics.policy_stale.set(int(status.stale))
        self.metrics.policy_stale_in_seconds.set(0.0 if status.stale else left)
        if status.stale and not was_stale:
            policy = {"revision": status.revision, "last_seen": rfc3339(status.confirmed_at_us)}
            self.log.error("policy stale", rule_id=rule_ids.POLICY_STALE, cause=status.last_error, **policy)
        elif was_stale and not status.stale:
            self.log.info("policy no longer stale", revision=status.revision)
        if (status.stale, status.serves_newest) != (was_stale, was_newest):
            await self.show_health()

    async def report_ledger(self, *, works: bool, error: BaseException | None = None) -> None:
        """Report whether the store commits, and the error when it does not. Without it health is NOT_SERVING."""
        self._store_error = "" if works else str((error and error.__cause__) or error or "it cannot be written")
        if works == self.ledger_works:
            return
        self.ledger_works = works
        if works:
            self.log.info("store works again")
        else:
            self.log.error("store failing", cause=self._store_error)
        await self.show_health()

    def health(self) -> ServerHealth:
        """Return whether decisions can be made, and if not, why."""
        reasons = []
        if not self._policy_ready:
            why = f"OPA does not answer: {self._policy.last_error or 'see the log and opa.log'}"
            reasons.append(
                _denied_until_confirmed(self._policy.held_revision) if self._policy.only_policy_is_held else why
            )
        if self._policy.stale:
            seen = rfc3339(self._policy.confirmed_at_us)
            why = self._policy.last_error or "see the log"
            reasons.append(f"{rule_ids.POLICY_STALE} denies every call: the policy was last seen at {seen}: {why}")
        if self._clock_skewed:
            reasons.append(f"{rule_ids.CLOCK_SKEW} denies every call: {self._clock_skewed}")
        if not self.ledger_works:
            reasons.append(f"the store does not commit: {self._store_error}")
        unreadable = tuple(self._issuers_unreadable.values())
        return ServerHealth(not reasons, tuple(reasons), self._store_error, self.free_bytes(), unreadable)

    def wal_bytes(self) -> int:
        """Return the bytes of SQLite's write-ahead log; 0 when there is none."""
        try:
            return (self._data_dir / "placet.db-wal").stat().st_size
        except OSError:
            return 0

    def free_bytes(self) -> int:
        """Return the free bytes of the data directory's file system; 0 when unknown."""
        try:
            return shutil.disk_usage(self._data_dir).free
        except OSError:
            return 0

    async def show_health(self) -> None:
        """Publish health: SERVING when OPA answers, the policy is fresh, the clock is right and the store commits."""
        serving = not self.health().reasons
        self.metrics.ready.set(int(serving))
        if self.rpc is not None:
            current = self._policy.serves_newest and not self._policy.stale
            parts = {ENGINE: self._policy_ready, POLICY: current, STORE: self.ledger_works}
            await self.rpc.set_serving(serving=serving, parts=parts)

    async def _record(self, commitment: Commitment) -> None:
        if self.ledger is not None:
            ledger = self.ledger
            await self._report_failure_of(lambda: ledger.commit([commitment]))

    async def _report_failure_of(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - reported; the policy is served nevertheless
            self.error(error)


def _skew(clock: LedgerClock) -> str:
    """Describe the skew that prevents decisions; "" when there is none."""
    if not clock.skewed():
        return ""
    ahead_seconds, behind_seconds = clock.ahead_of_server_seconds(), clock.behind_seconds()
    if abs(ahead_seconds) >= behind_seconds:
        off = f"{ahead_seconds:+,.0f} s off that of the database's server"
        return f"this machine's clock is {off}; set the wrong one right"
    return (
        f"the clock is {behind_seconds:,.0f} s behind the newest record; set it right, or run `placet db accept-clock`"
    )


def _denied_until_confirmed(revision: str) -> str:
    return f"every call is denied until a person runs: {how_to_confirm(revision)}"


async def _ignore(_event: PolicyEvent) -> None:
    """Do nothing: the default until the ledger is open."""


def _pushed(event: PolicyEvent) -> dict[str, str]:
    """Return the log field of who published the policy that is served or held, when it is known."""
    known = event.pusher.name and event.kind in {PolicyEventKind.ACTIVATED, PolicyEventKind.HELD}
    return {"pushed_by": event.pusher.name} if known else {}


def _decides(event: PolicyEvent) -> dict[str, str]:
    """Return log fields: how long the served revision still decides when a newer one is rejected or held."""
    if event.kind is PolicyEventKind.HELD:
        held = event.held_revision
        decides = (
            f"until a person runs: {how_to_confirm(held)}"
            if event.revision
            else f"there is none; {_denied_until_confirmed(held)}"
        )
        return {"held_revision": held, "old_revision_decides": decides}
    if event.kind is not PolicyEventKind.REFUSED:
        return {}
    if not event.decides_until_us:
        return {"old_revision_decides": "until a newer one is accepted"}
    return {"old_revision_decides": f"until {rfc3339(event.decides_until_us)}, then {rule_ids.POLICY_STALE}"}
