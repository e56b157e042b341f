"""What happens, told to log, metrics, health and trail."""

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
from placet.revisions.status import (
    EngineMode,
    PolicyEvent,
    PolicyEventKind,
    PolicyStatus,
    ServerHealth,
    how_to_confirm,
)
from placet.webhooks.sender import TryResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from structlog.stdlib import BoundLogger

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.kernel.clock import Clock
    from placet.server.ledger_clock import LedgerClock
    from placet.telemetry.metrics import Metrics
    from placet.transport.grpc.server import RpcServer
    from placet.webhooks.sender import Tried

ENGINE: Final = "placet.engine"
POLICY: Final = "placet.policy"
STORE: Final = "placet.store"
"""Names that grpc.health.v1 can be asked for beside the services: what of the server is as it should be."""
SERIOUS: Final = frozenset(
    {PolicyEventKind.REFUSED, PolicyEventKind.NOT_READY, PolicyEventKind.CACHE_REFUSED, PolicyEventKind.HELD}
)
"""What somebody should look at: logged as a warning."""

CLOCK_BEHIND_TOLD_SECONDS: Final = 1.0
"""From here on the log tells it: replicas' clocks always differ a little."""


class ServerObserver:
    """Tells log, metrics, health and the trail what happens."""

    def __init__(self, log: BoundLogger, metrics: Metrics, clock: Clock, data_dir: Path = Path()) -> None:
        self.log = log
        self.metrics = metrics
        self._clock = clock
        self._data_dir = data_dir
        metrics.data_dir_free_bytes.set_function(lambda: float(self.free_bytes()))
        metrics.sqlite_wal_bytes.set_function(lambda: float(self.wal_bytes()))
        self.rpc: RpcServer | None = None
        self.ledger: Ledger | None = None
        self.on_activated: Callable[[PolicyEvent], Awaitable[None]] = _nothing
        self.ledger_works = True
        self._store_error = ""
        self._clock_behind = False
        self._clock_skewed = ""
        self._policy_ready = False
        self._policy = PolicyStatus(ready=False, engine_mode=EngineMode.MANAGED)

    def opened_ledger(self) -> Ledger:
        """The ledger, once it is open."""
        if self.ledger is None:
            raise AssertionError("the ledger is opened before policies start")
        return self.ledger

    def fault(self, fault: BaseException) -> None:
        """Placet itself failed."""
        self.metrics.faults.inc()
        self.log.error("fault", exc_info=fault)

    def engine_failure(self, rule_id: str, cause: str) -> None:
        """OPA did not answer rightly."""
        self.metrics.engine_failures.labels(rule_id).inc()
        self.log.warning("engine failure", rule_id=rule_id, cause=cause)

    async def clocks(self, clock: LedgerClock) -> None:
        """Tell how far clocks are off: the metrics always, log and health when it begins and ends to matter."""
        self._clock_behind_by(clock.behind_seconds())
        ahead_seconds = clock.ahead_of_server_seconds()
        self.metrics.clock_ahead_seconds.set(ahead_seconds)
        was, self._clock_skewed = self._clock_skewed, _skew(clock)
        if self._clock_skewed and not was:
            said = {"behind_records_seconds": clock.behind_seconds(), "ahead_of_database_seconds": ahead_seconds}
            self.log.error("clock skewed", rule_id=rule_ids.CLOCK_SKEW, **said)
        elif was and not self._clock_skewed:
            self.log.info("clock no longer skewed")
        if bool(was) != bool(self._clock_skewed):
            await self.show_health()

    def _clock_behind_by(self, seconds: float) -> None:
        self.metrics.clock_behind_seconds.set(seconds)
        was, self._clock_behind = self._clock_behind, seconds >= CLOCK_BEHIND_TOLD_SECONDS
        if self._clock_behind and not was:
            self.log.warning("clock behind", seconds=seconds)
        elif was and not self._clock_behind:
            self.log.info("clock right again")

    def shed(self, reason: str, count: int) -> None:
        """So many actions or calls were turned away under load."""
        self.metrics.shed.labels(reason).inc(count)

    def outcome_held(self, tenant: str, decision_id: str, budgets: Sequence[str]) -> None:
        """An outcome named far more than was reserved, and the rest waits for a person."""
        self.metrics.outcomes_held.inc()
        self.log.warning("outcome held", tenant=tenant, decision_id=decision_id, budgets=list(budgets))

    def invalid_verdict(self, rule_id: str, why: str) -> None:
        """A verdict came and was not believed."""
        self.metrics.engine_failures.labels(rule_id).inc()
        self.log.warning("policy answer not believed", rule_id=rule_id, cause=why)

    def webhook(self, tried: Tried) -> None:
        """A webhook was tried."""
        self.metrics.webhooks.labels(tried.result.value).inc()
        said = {"event_id": tried.event_id, "tenant": tried.tenant, "tries": tried.tries, "cause": tried.cause}
        if tried.result is TryResult.FAILED:
            self.log.warning("webhook failed", **said)
        elif tried.result is TryResult.GAVE_UP:
            self.log.error("webhook given up", **said)

    async def policy_event(self, event: PolicyEvent) -> None:
        """Something happened to the policy."""
        serious = event.kind in SERIOUS
        write = self.log.warning if serious else self.log.info
        write(f"policy {event.kind}", revision=event.revision, detail=event.detail, **_decides(event))
        now_us = self._clock.wall_us()
        match event.kind:
            case PolicyEventKind.ACTIVATED:
                self.metrics.reloads.labels("accepted").inc()
                await self._tried(lambda: self.on_activated(event))
                await self._tell_policy(ready=True)
            case PolicyEventKind.REFUSED:
                self.metrics.reloads.labels("refused").inc()
                await self._record(policy_refused_commitment(event.revision, event.detail.splitlines(), now_us))
            case PolicyEventKind.HELD:
                held, lost = event.held_revision, event.detail.splitlines()
                await self._record(policy_held_commitment(event.revision, held, lost, now_us))
            case PolicyEventKind.CACHE_REFUSED:
                self.metrics.cache_refused.inc()
            case PolicyEventKind.ENGINE_RESTARTED:
                self.metrics.engine_restarts.inc()
            case PolicyEventKind.READY | PolicyEventKind.NOT_READY:
                await self._tell_policy(ready=event.kind is PolicyEventKind.READY)

    async def _tell_policy(self, *, ready: bool) -> None:
        self._policy_ready = ready
        await self.show_health()

    async def policy_status(self, status: PolicyStatus) -> None:
        """Tell the metrics how the policy stands, and log and health the moment when it becomes too old to decide."""
        was_stale, was_newest = self._policy.stale, self._policy.newest
        self._policy = status
        now_us = self._clock.wall_us()
        left = (status.decides_until_us - now_us) / 1e6 if status.decides_until_us else math.inf
        self.metrics.policy_refused.set(int(bool(status.last_error)))
        self.metrics.policy_held.set(int(bool(status.held_revision)))
        self.metrics.policy_stale.set(int(status.stale))
        self.metrics.policy_stale_in_seconds.set(0.0 if status.stale else left)
        if status.stale and not was_stale:
            said = {"revision": status.revision, "last_seen": rfc3339(status.confirmed_at_us)}
            self.log.error("policy stale", rule_id=rule_ids.POLICY_STALE, cause=status.last_error, **said)
        elif was_stale and not status.stale:
            self.log.info("policy no longer stale", revision=status.revision)
        if (status.stale, status.newest) != (was_stale, was_newest):
            await self.show_health()

    async def tell_ledger(self, *, works: bool, why: BaseException | None = None) -> None:
        """The store took a commit, or did not and `why`. Health follows: without it nothing can be decided."""
        self._store_error = "" if works else str((why and why.__cause__) or why or "it cannot be written")
        if works == self.ledger_works:
            return
        self.ledger_works = works
        if works:
            self.log.info("store works again")
        else:
            self.log.error("store failing", cause=self._store_error)
        await self.show_health()

    def health(self) -> ServerHealth:
        """Whether decisions can be made, and why not."""
        reasons = []
        if not self._policy_ready:
            why = f"OPA does not answer: {self._policy.last_error or 'see the log and opa.log'}"
            reasons.append(_waits(self._policy.held_revision) if self._policy.undecided else why)
        if self._policy.stale:
            seen = rfc3339(self._policy.confirmed_at_us)
            why = self._policy.last_error or "see the log"
            reasons.append(f"{rule_ids.POLICY_STALE} denies every call: the policy was last seen at {seen}: {why}")
        if self._clock_skewed:
            reasons.append(f"{rule_ids.CLOCK_SKEW} denies every call: {self._clock_skewed}")
        if not self.ledger_works:
            reasons.append(f"the store takes no commits: {self._store_error}")
        return ServerHealth(not reasons, tuple(reasons), self._store_error, self.free_bytes())

    def wal_bytes(self) -> int:
        """Length of SQLite's write-ahead log; 0 when there is none."""
        try:
            return (self._data_dir / "placet.db-wal").stat().st_size
        except OSError:
            return 0

    def free_bytes(self) -> int:
        """What the file system of the data directory has left; 0 when it cannot be asked."""
        try:
            return shutil.disk_usage(self._data_dir).free
        except OSError:
            return 0

    async def show_health(self) -> None:
        """Serving when OPA answers, with a policy that is not too old, a right clock, and a store that works."""
        serving = not self.health().reasons
        self.metrics.ready.set(int(serving))
        if self.rpc is not None:
            current = self._policy.newest and not self._policy.stale
            parts = {ENGINE: self._policy_ready, POLICY: current, STORE: self.ledger_works}
            await self.rpc.set_serving(serving=serving, parts=parts)

    async def _record(self, commitment: Commitment) -> None:
        if self.ledger is not None:
            ledger = self.ledger
            await self._tried(lambda: ledger.commit([commitment]))

    async def _tried(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Exception as fault:  # noqa: BLE001 - policy goes on being served; the log and metric tell it
            self.fault(fault)


def _skew(clock: LedgerClock) -> str:
    """Why nothing can be decided by the clock; "" when it can."""
    if not clock.skewed():
        return ""
    ahead_seconds, behind_seconds = clock.ahead_of_server_seconds(), clock.behind_seconds()
    if abs(ahead_seconds) >= behind_seconds:
        off = f"{ahead_seconds:+,.0f} s off that of the database's server"
        return f"this machine's clock is {off}; set the wrong one right"
    return (
        f"the clock is {behind_seconds:,.0f} s behind the newest record; set it right, or run `placet db accept-clock`"
    )


def _waits(revision: str) -> str:
    return f"every call is denied until somebody runs: {how_to_confirm(revision)}"


async def _nothing(_event: PolicyEvent) -> None:
    """Until there is a ledger."""


def _decides(event: PolicyEvent) -> dict[str, str]:
    """For how long the old revision decides, where a newer one is refused or waits."""
    if event.kind is PolicyEventKind.HELD:
        held = event.held_revision
        decides = f"until somebody runs: {how_to_confirm(held)}" if event.revision else f"there is none; {_waits(held)}"
        return {"held_revision": held, "old_revision_decides": decides}
    if event.kind is not PolicyEventKind.REFUSED:
        return {}
    if not event.decides_until_us:
        return {"old_revision_decides": "until a newer one is accepted"}
    return {"old_revision_decides": f"until {rfc3339(event.decides_until_us)}, then {rule_ids.POLICY_STALE}"}
