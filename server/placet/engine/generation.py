"""One revision of policy in service: its bundle, the OPA that serves it, and the tenants' files that belong to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.engine.canary import canary_fault
from placet.engine.client import OpaClient
from placet.engine.process import OpaProcess
from placet.kernel.errors import ConfigurationError, Diagnostic, PolicyInvalidError
from placet.policy.checks.rule_places import RulePlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from placet.engine.pinned import PinnedProgram
    from placet.kernel.model import Indeterminate, Verdict
    from placet.policy.bundles.bundle import Bundle
    from placet.tenants.agent_policy import AgentPolicy

START_SECONDS_MAX = 10.0
"""From the start of OPA to the right answer of the canary; large bundles take seconds to load."""
START_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Engine:
    """How to run OPA. `log` takes what it says on stderr; `on_failure` is told of each failed query.

    `program` is the file that `opa` was when it was found; None takes whatever is there.
    """

    opa: Path
    log: Path
    timeout_seconds: float
    on_failure: Callable[[str, str], None]
    program: PinnedProgram | None = None

    def require_program(self) -> None:
        """ConfigurationError when another file stands where OPA was found. Reads it when it may have changed."""
        if self.program is not None:
            self.program.require_unchanged()


class ServedRevision:
    """A revision that passed check and canary. OPA may be replaced under it; the revision never changes."""

    def __init__(self, bundle: Bundle, engine: Engine, process: OpaProcess, confirmed_at: float) -> None:
        self.bundle = bundle
        self._engine = engine
        self.process = process
        self.confirmed_at = confirmed_at
        self._places = RulePlaces(bundle.tree.modules if bundle.tree is not None else {})
        self._retired = False
        self._evaluating = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._client = self._new_client()

    @classmethod
    async def start(cls, bundle: Bundle, engine: Engine, confirmed_at: float) -> ServedRevision:
        """Start OPA with the bundle and wait for the canary. PolicyInvalidError when it does not answer rightly."""
        await asyncio.to_thread(engine.require_program)
        process = OpaProcess.start(engine.opa, bundle.content, engine.log)
        generation = cls(bundle, engine, process, confirmed_at)
        try:
            fault = await generation.await_canary()
        except BaseException:  # the server may be told to stop while it loads
            await generation.stop()
            raise
        if fault:
            await generation.stop()
            remedy = "see opa.log in the data directory"
            raise PolicyInvalidError([Diagnostic(str(bundle.path), f"OPA does not serve the bundle: {fault}", remedy)])
        return generation

    @property
    def revision(self) -> str:
        """Digest of the policy's content."""
        return self.bundle.revision

    @property
    def agent_policies(self) -> Mapping[str, AgentPolicy]:
        """Tenant -> its agent_policy."""
        return self.bundle.agent_policies

    def where(self, rule_id: str) -> str:
        """``file:line`` of the rule with this id; "" when there is none."""
        return self._places.of(rule_id)

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """One verdict for each input, in order."""
        self._evaluating += 1
        self._unused.clear()
        try:
            return await self._client.evaluate(inputs)
        finally:
            self._evaluating -= 1
            if not self._evaluating:
                self._unused.set()

    async def canary_fault(self) -> str:
        """Why OPA cannot be served from; "" when it can."""
        return await canary_fault(self._client, self._engine.timeout_seconds, self.revision)

    async def await_canary(self) -> str:
        """Wait until the canary is answered rightly; the last fault when that does not happen in time, else ""."""
        loop = asyncio.get_running_loop()
        until = loop.time() + START_SECONDS_MAX
        while fault := await self.canary_fault():
            if loop.time() > until or not self.process.running:
                return fault if self.process.running else await self.process.wait()
            await asyncio.sleep(START_POLL_SECONDS)
        return ""

    async def restart(self) -> str:
        """Replace OPA by a new one with the same bundle; "" when the canary answers rightly, else why not."""
        self._client.close()
        await self.process.kill()  # it does not answer, and holds nothing worth a farewell
        if self._retired:
            return "another revision took over"
        try:
            await asyncio.to_thread(self._engine.require_program)
            if self._retired:
                return "another revision took over"
            self.process = OpaProcess.start(self._engine.opa, self.bundle.content, self._engine.log)
        except (ConfigurationError, OSError) as error:
            return str(error)
        self._client = self._new_client()
        return await self.await_canary()

    async def retire(self) -> None:
        """Stop OPA for good once the queries under way, which are bounded in time, are answered."""
        try:
            await self._unused.wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop OPA for good."""
        self._retired = True
        self._client.close()
        await self.process.stop()

    def _new_client(self) -> OpaClient:
        return OpaClient(
            self.process.address,
            timeout_seconds=self._engine.timeout_seconds,
            expected_revision=self.revision,
            on_failure=self._engine.on_failure,
            places=self._places,
        )
