"""Policy served by somebody else's OPA, e.g. a sidecar container. The tenants' files are read here."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.engine.canary import ask_canary, tenants_fault
from placet.kernel.model import Indeterminate
from placet.revisions.status import EngineMode, PolicyEventKind, PolicyStatus, event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from placet.engine.client import OpaClient
    from placet.kernel.clock import Clock
    from placet.kernel.model import Verdict
    from placet.revisions.status import PolicyEvent
    from placet.tenants.agent_policy import AgentPolicy

CANARY_INTERVAL_SECONDS: Final = 1.0


@dataclass(slots=True)
class ExternalPolicy:
    """What the external OPA served when it was last asked the canary; each verdict names the revision it is of."""

    client: OpaClient
    agent_policies: Mapping[str, AgentPolicy]
    confirmed_at: float
    revision: str = ""

    def where(self, rule_id: str) -> str:  # noqa: ARG002 - whose policy it is, and where, is not known here
        """Nothing is known of where its rules stand."""
        return ""

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """One verdict for each input, in order."""
        return await self.client.evaluate(inputs)


class ExternalPolicies:
    """A `PolicySource` over an OPA that is not ours. A canary answered rightly confirms the policy as current.

    So it does of an OPA that serves the expected revision and knows the tenants' files that are read here. A policy
    that was not confirmed for longer than `age_seconds_max` decides no longer.
    """

    def __init__(
        self,
        client: OpaClient,
        agent_policies: Mapping[str, AgentPolicy],
        clock: Clock,
        listener: Callable[[PolicyEvent], Awaitable[None]],
        timeout_seconds: float,
        canary_interval_seconds: float = CANARY_INTERVAL_SECONDS,
        age_seconds_max: float = math.inf,
    ) -> None:
        self._policy = ExternalPolicy(client, agent_policies, clock.monotonic())
        self._clock = clock
        self._listener = listener
        self._timeout = timeout_seconds
        self._interval = canary_interval_seconds
        self._age_seconds_max = age_seconds_max
        self._expected_revision = client.expected_revision
        tenants = tuple(sorted(agent_policies))
        self._status = PolicyStatus(ready=False, engine_mode=EngineMode.EXTERNAL, tenants=tenants)

    def current(self) -> ExternalPolicy:
        """The policy that decides now."""
        return self._policy

    def status(self) -> PolicyStatus:
        """What is served."""
        age = self._clock.monotonic() - self._policy.confirmed_at
        status = replace(self._status, revision=self._policy.revision)
        return status.aged(age, self._age_seconds_max, self._clock.wall_us())

    async def start(self) -> None:
        """Ask the canary once; an OPA that is not up yet is waited for by `run`, with health NOT_SERVING."""
        await self._look()

    async def look_again(self) -> None:
        """Ask the canary now."""
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
        fault = await self._fault(verdict)
        if isinstance(verdict, Indeterminate) or fault:
            told = fault == self._status.last_error
            self._status = replace(self._status.wrong(fault, now).unseen(now), ready=False)
            if not told:
                await self._tell(PolicyEventKind.NOT_READY, fault)
            return
        self._policy.confirmed_at = self._clock.monotonic()
        was_ready = self._status.ready
        self._status = replace(self._status.sound().seen(now), ready=True)
        if verdict.policy_revision != self._policy.revision:
            self._policy.revision = verdict.policy_revision
            self._status = replace(self._status, loaded_at_us=now)
            await self._tell(PolicyEventKind.ACTIVATED)
        elif not was_ready:
            await self._tell(PolicyEventKind.READY)

    async def _fault(self, verdict: Verdict | Indeterminate) -> str:
        """What is wrong with what OPA serves; "" when nothing is. The tenants are asked about once a revision."""
        if isinstance(verdict, Indeterminate):
            return f"{verdict.rule_id}: {verdict.cause}"
        if self._status.ready and verdict.policy_revision == self._policy.revision:
            return ""
        policy = self._policy
        return await tenants_fault(policy.client, self._timeout, policy.agent_policies, verdict.policy_revision)

    async def _tell(self, kind: PolicyEventKind, detail: str = "") -> None:
        await self._listener(event_of(kind, self.status(), detail))
