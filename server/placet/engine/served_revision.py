"""A served revision of the policy: its bundle, the OPA that evaluates it, and its tenants' files."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.engine.bundle_revision import BundleRevision
from placet.engine.canary import canary_error
from placet.engine.client import OpaClient
from placet.engine.patience import PATIENCE_SHARE, Patience
from placet.engine.process import THREADS_MIN, OpaProcess
from placet.engine.slow_packs import SlowPacks, packs_of
from placet.kernel.errors import ConfigurationError, Diagnostic, PolicyInvalidError
from placet.kernel.rule_ids import ENGINE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from placet.engine.pinned_program import PinnedProgram
    from placet.kernel.clock import Clock
    from placet.kernel.model import Indeterminate, Verdict
    from placet.policy.bundles.bundle import Bundle
    from placet.revisions.status import PolicyStatus, SlowPack

START_SECONDS_MAX = 60.0
"""Time limit from the start of OPA to the first correct answer of the canary. 10,000 tenants take 3 s on an idle
machine, and a minute on an overloaded one. The earlier revision decides until then."""
START_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Engine:
    """How to run OPA."""

    opa: Path
    log: Path  # receives OPA's stderr
    timeout_seconds: float  # of one query
    on_failure: Callable[[str, str], None]  # receives (rule_id, cause) of each failed query
    program: PinnedProgram | None = None  # the content that `opa` must have; None accepts any
    cores: int = THREADS_MIN  # that OPA may use
    on_slow_pack: Callable[[SlowPack], None] = lambda _pack: None  # receives the pack that made an input slow

    def require_program(self) -> None:
        """Raise ConfigurationError when the file of OPA was replaced since Placet found it."""
        if self.program is not None:
            self.program.require_unchanged()


class ServedRevision(BundleRevision):
    """A revision that passed all checks and the canary.

    Its OPA may be restarted; the revision itself never changes.
    """

    def __init__(self, bundle: Bundle, engine: Engine, process: OpaProcess, confirmed_at: float) -> None:
        super().__init__(bundle, confirmed_at)
        self._engine = engine
        self.process = process
        self._stopped = False
        self._evaluating = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._client = self._new_client()
        packs = packs_of(bundle.tree.modules) if bundle.tree is not None else ()
        self._slow_packs = SlowPacks(packs, engine.timeout_seconds, engine.on_slow_pack)

    def status_now(self, status: PolicyStatus, clock: Clock, age_seconds_max: float) -> PolicyStatus:
        """Return the status with the age of this revision, and with the packs that were slow in this process."""
        age = clock.monotonic() - self.confirmed_at
        return replace(status.at_age(age, age_seconds_max, clock.wall_us()), slow_packs=self.slow_packs)

    @classmethod
    async def start(cls, bundle: Bundle, engine: Engine, confirmed_at: float) -> ServedRevision:
        """Start OPA with the bundle and await the canary. Raises PolicyInvalidError when the canary fails."""
        await asyncio.to_thread(engine.require_program)
        process = OpaProcess.start(engine.opa, bundle.content, engine.log, engine.cores)
        revision = cls(bundle, engine, process, confirmed_at)
        try:
            error = await revision.await_canary()
        except BaseException:  # cancelled: the server stops while OPA loads
            await revision.stop()
            raise
        if error:
            await revision.stop()
            remedy = "see opa.log in the data directory"
            raise PolicyInvalidError([Diagnostic(str(bundle.path), f"OPA does not serve the bundle: {error}", remedy)])
        return revision

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order. One that takes long is Indeterminate.slow."""
        self._begin()
        try:
            return await self._client.evaluate(inputs)
        finally:
            self._end()

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order. Each has the whole time limit of a query."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._begin()
        try:
            verdicts = await self._client.evaluate_singly(inputs)
        finally:
            self._end()
        timed_out = [each for each, verdict in zip(inputs, verdicts, strict=True) if verdict.rule_id == ENGINE_TIMEOUT]
        if timed_out or loop.time() - began > PATIENCE_SHARE * self._engine.timeout_seconds:
            slow = max(timed_out or inputs, key=len)
            self._slow_packs.examine(slow, self._client.connections, timed_out=bool(timed_out))
        return verdicts

    @property
    def slow_packs(self) -> tuple[SlowPack, ...]:
        """Packs that made inputs slow, each with its slowest input, the slowest first."""
        return self._slow_packs.found

    async def canary_error(self) -> str:
        """Ask the canary once. Returns what is wrong with its answer; "" when it is correct."""
        return await canary_error(self._client, self._engine.timeout_seconds, self.revision)

    async def await_canary(self) -> str:
        """Wait for a correct answer of the canary. Returns the last error when there is none in time, else ""."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS_MAX
        while error := await self.canary_error():
            if loop.time() > deadline or not self.process.running:
                return error if self.process.running else await self.process.wait()
            await asyncio.sleep(START_POLL_SECONDS)
        return ""

    async def restart(self) -> str:
        """Replace OPA by a new process with the same bundle. Returns what is wrong with it; "" when it serves."""
        self._client.close()
        await self.process.kill()  # it does not answer and holds no state
        if self._stopped:
            return "another revision took over"
        try:
            await asyncio.to_thread(self._engine.require_program)
            if self._stopped:
                return "another revision took over"
            self.process = OpaProcess.start(self._engine.opa, self.bundle.content, self._engine.log, self._engine.cores)
        except (ConfigurationError, OSError) as error:
            return str(error)
        self._client = self._new_client()
        return await self.await_canary()

    async def retire(self) -> None:
        """Stop OPA after its running queries, which have a time limit."""
        try:
            await self._slow_packs.close()
            await self._idle.wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop OPA. It cannot be started again."""
        self._stopped = True
        await self._slow_packs.close()
        self._client.close()
        await self.process.stop()

    def _begin(self) -> None:
        """Keep OPA running until `_end`, also when another revision takes over."""
        self._evaluating += 1
        self._idle.clear()

    def _end(self) -> None:
        self._evaluating -= 1
        if not self._evaluating:
            self._idle.set()

    def _new_client(self) -> OpaClient:
        return OpaClient(
            self.process.address,
            timeout_seconds=self._engine.timeout_seconds,
            expected_revision=self.revision,
            on_failure=self._engine.on_failure,
            places=self._places,
            patience=Patience.within(self._engine.timeout_seconds),
        )
