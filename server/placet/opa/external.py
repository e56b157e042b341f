"""Policy served by somebody else's OPA, e.g. a sidecar container. The tenants' files are read here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.core.model import NoVerdict
from placet.core.policy_status import EngineMode, PolicyEvent, PolicyEventKind, PolicyStatus
from placet.opa.canary import ask_canary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.model import Verdict
    from placet.core.ports import Clock
    from placet.opa.client import OpaClient

CANARY_INTERVAL_SECONDS: Final = 1.0


@dataclass(slots=True)
class ExternalPolicy:
    """What the external OPA served when it was last asked the canary; each verdict names the revision it is of."""

    client: OpaClient
    agent_policies: Mapping[str, AgentPolicy]
    confirmed_at: float
    revision: str = ""

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | NoVerdict]:
        """One verdict for each input, in order."""
        return await self.client.evaluate(inputs)


class ExternalPolicies:
    """A `PolicySource` over an OPA that is not ours. A canary answered rightly confirms the policy as current."""

    def __init__(
        self,
        client: OpaClient,
        agent_policies: Mapping[str, AgentPolicy],
        clock: Clock,
        listener: Callable[[PolicyEvent], Awaitable[None]],
        timeout_seconds: float,
        canary_interval_seconds: float = CANARY_INTERVAL_SECONDS,
    ) -> None:
        self._policy = ExternalPolicy(client, agent_policies, clock.monotonic())
        self._clock = clock
        self._listener = listener
        self._timeout = timeout_seconds
        self._interval = canary_interval_seconds
        self._expected_revision = client.expected_revision
        tenants = tuple(sorted(agent_policies))
        self._status = PolicyStatus(ready=False, engine_mode=EngineMode.EXTERNAL, tenants=tenants)

    def current(self) -> ExternalPolicy:
        """The policy that decides now."""
        return self._policy

    def status(self) -> PolicyStatus:
        """What is served."""
        return replace(self._status, revision=self._policy.revision)

    async def start(self) -> None:
        """Ask the canary once; an OPA that is not up yet is waited for by `run`, with health NOT_SERVING."""
        await self._look()

    async def run(self) -> None:
        """Ask the canary until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self._look()

    async def close(self) -> None:
        """Close the connections."""
        self._policy.client.close()

    async def _look(self) -> None:
        verdict = await ask_canary(self._policy.client, self._timeout, self._expected_revision)
        now = self._clock.wall_us()
        if isinstance(verdict, NoVerdict):
            fault = f"{verdict.rule_id}: {verdict.cause}"
            told = fault == self._status.last_error
            self._status = replace(self._status, ready=False, last_error=fault, last_error_at_us=now)
            if not told:
                await self._tell(PolicyEventKind.NOT_READY, fault)
            return
        self._policy.confirmed_at = self._clock.monotonic()
        was_ready = self._status.ready
        self._status = replace(self._status, ready=True, confirmed_at_us=now, last_error="", last_error_at_us=0)
        if verdict.policy_revision != self._policy.revision:
            self._policy.revision = verdict.policy_revision
            self._status = replace(self._status, loaded_at_us=now)
            await self._tell(PolicyEventKind.ACTIVATED)
        elif not was_ready:
            await self._tell(PolicyEventKind.READY)

    async def _tell(self, kind: PolicyEventKind, detail: str = "") -> None:
        await self._listener(PolicyEvent(kind, self._policy.revision, detail, tenants=len(self._status.tenants)))
