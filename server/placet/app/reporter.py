"""What happens, told to log, metrics, health and trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.core.policy_status import PolicyEvent, PolicyEventKind
from placet.core.record_codec import policy_activated_commitment, policy_refused_commitment
from placet.webhook.sender import TryResult

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from placet.core.ports import Clock, Ledger
    from placet.core.records import Commitment
    from placet.rpc.server import RpcServer
    from placet.telemetry.metrics import Metrics
    from placet.webhook.sender import Tried

SERIOUS: Final = frozenset({PolicyEventKind.REFUSED, PolicyEventKind.NOT_READY, PolicyEventKind.CACHE_REFUSED})
"""What somebody should look at: logged as a warning."""


class Reporter:
    """Tells log, metrics, health and the trail what happens."""

    def __init__(self, log: BoundLogger, metrics: Metrics, clock: Clock) -> None:
        self.log = log
        self.metrics = metrics
        self._clock = clock
        self.rpc: RpcServer | None = None
        self.ledger: Ledger | None = None
        self.ledger_works = True
        self._policy_ready = False

    def fault(self, fault: BaseException) -> None:
        """Placet itself failed."""
        self.metrics.faults.inc()
        self.log.error("fault", exc_info=fault)

    def engine_failure(self, rule_id: str, cause: str) -> None:
        """OPA did not answer rightly."""
        self.metrics.engine_failures.labels(rule_id).inc()
        self.log.warning("engine failure", rule_id=rule_id, cause=cause)

    def distrust(self, rule_id: str, why: str) -> None:
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
        write(f"policy {event.kind}", revision=event.revision, detail=event.detail)
        now_us = self._clock.wall_us()
        match event.kind:
            case PolicyEventKind.ACTIVATED:
                self.metrics.reloads.labels("accepted").inc()
                await self._record(
                    policy_activated_commitment(event.revision, event.engine_version, event.tenants, now_us)
                )
                await self._tell_policy(ready=True)
            case PolicyEventKind.REFUSED:
                self.metrics.reloads.labels("refused").inc()
                await self._record(policy_refused_commitment(event.revision, event.detail.splitlines(), now_us))
            case PolicyEventKind.CACHE_REFUSED:
                self.metrics.cache_refused.inc()
            case PolicyEventKind.ENGINE_RESTARTED:
                self.metrics.engine_restarts.inc()
            case PolicyEventKind.READY | PolicyEventKind.NOT_READY:
                await self._tell_policy(ready=event.kind is PolicyEventKind.READY)

    async def _tell_policy(self, *, ready: bool) -> None:
        self._policy_ready = ready
        await self.show_health()

    async def tell_ledger(self, *, works: bool) -> None:
        """The store took a commit, or did not. Health follows: without it nothing can be decided."""
        if works == self.ledger_works:
            return
        self.ledger_works = works
        if works:
            self.log.info("store works again")
        else:
            self.log.error("store failing")
        await self.show_health()

    async def show_health(self) -> None:
        """Serving when policy is ready and the store takes commits."""
        serving = self._policy_ready and self.ledger_works
        self.metrics.ready.set(int(serving))
        if self.rpc is not None:
            await self.rpc.set_serving(serving=serving)

    async def _record(self, commitment: Commitment) -> None:
        if self.ledger is not None:
            try:
                await self.ledger.commit([commitment])
            except Exception as fault:  # noqa: BLE001 - policy goes on being served; the log and metric tell it
                self.fault(fault)
