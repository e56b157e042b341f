"""A policy served by an external OPA, for example a sidecar container. Placet reads the tenants' files itself."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.engine.canary import ask_canary, tenants_error
from placet.kernel.model import Indeterminate
from placet.revisions.status import EngineMode, PolicyEventKind, PolicyStatus, event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from placet.engine.client import OpaClient
    from placet.kernel.clock import Clock
    from placet.kernel.model import Verdict
    from placet.revisions.status import PolicyEvent
    from placet.tenants.policy import TenantPolicy

CANARY_INTERVAL_SECONDS: Final = 1.0


@dataclass(slots=True)
class ExternalPolicy:
    """The policy of the external OPA at its last canary. Each verdict names its own revision."""

    client: OpaClient
    agent_policies: Mapping[str, TenantPolicy]  # by tenant
    confirmed_at: float  # of the last correct canary, on the monotonic clock
    revision: str = ""

    def where(self, rule_id: str) -> str:  # noqa: ARG002 - the files of the policy are unknown here
        """Return "": the places of its rules are unknown."""
        return ""

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order. One that takes long is Indeterminate.slow."""
        return await self.client.evaluate(inputs)

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order. Each has the whole time limit of a query."""
        return await self.client.evaluate_singly(inputs)


class ExternalPolicies:
    """A `PolicySource` over an external OPA.

    A correct answer of the canary confirms the policy, if OPA serves the expected revision and lists the tools of the
    tenants' files that Placet reads. A policy without confirmation for longer than `age_seconds_max` is stale.
    """

    def __init__(
        self,
        client: OpaClient,
        agent_policies: Mapping[str, TenantPolicy],
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
        """Return the policy that decides now."""
        return self._policy

    def status(self) -> PolicyStatus:
        """Return the status of the served policy."""
        age = self._clock.monotonic() - self._policy.confirmed_at
        status = replace(self._status, revision=self._policy.revision)
        return status.at_age(age, self._age_seconds_max, self._clock.wall_us())

    async def start(self) -> None:
        """Ask the canary once. When OPA is not up yet, `run` keeps asking; until then health is NOT_SERVING."""
        await self._check()

    async def check_now(self) -> None:
        """Ask the canary now."""
        await self._check()

    async def run(self) -> None:
        """Ask the canary until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self._check()

    async def close(self) -> None:
        """Close the connections."""
        self._policy.client.close()

    async def _check(self) -> None:
        verdict = await ask_canary(self._policy.client, self._timeout, self._expected_revision)
        now = self._clock.wall_us()
        error = await self._error_of(verdict)
        if isinstance(verdict, Indeterminate) or error:
            reported = error == self._status.last_error
            self._status = replace(self._status.with_error(error, now).with_source_unseen(now), ready=False)
            if not reported:
                await self._report(PolicyEventKind.NOT_READY, error)
            return
        self._policy.confirmed_at = self._clock.monotonic()
        was_ready = self._status.ready
        self._status = replace(self._status.without_problems().with_source_seen(now), ready=True)
        if verdict.policy_revision != self._policy.revision:
            self._policy.revision = verdict.policy_revision
            self._status = replace(self._status, loaded_at_us=now)
            await self._report(PolicyEventKind.ACTIVATED)
        elif not was_ready:
            await self._report(PolicyEventKind.READY)

    async def _error_of(self, verdict: Verdict | Indeterminate) -> str:
        """Return what is wrong with what OPA serves; "" when it is correct. Checks the tenants once per revision."""
        if isinstance(verdict, Indeterminate):
            return f"{verdict.rule_id}: {verdict.cause}"
        if self._status.ready and verdict.policy_revision == self._policy.revision:
            return ""
        policy = self._policy
        return await tenants_error(policy.client, self._timeout, policy.agent_policies, verdict.policy_revision)

    async def _report(self, kind: PolicyEventKind, detail: str = "") -> None:
        await self._listener(event_of(kind, self.status(), detail))
