"""A policy whose OPA another process runs: the supervisor of a server with several worker processes.

The supervisor builds and checks a revision, starts its OPA beside the old one, and takes each worker through three
steps: `prepare` reads the tenants' files, `serve` switches to the new OPA at once, and `retire` ends the last queries
to the old one. Only when all workers have done a step does the next one begin, and then the old OPA is stopped.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from placet.engine.served_revision import Engine, ServedRevision
from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.bundles.bundle import bundle_of
from placet.policy.checks.rules_apart import check_rules_apart
from placet.policy.files.archive import pack, unpack
from placet.policy.files.tree import tree_of
from placet.revisions.status import EngineMode, PolicyStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.engine.http import Address
    from placet.engine.process import OpaProcess
    from placet.engine.source import Source
    from placet.kernel.clock import Clock
    from placet.policy.bundles.bundle import Bundle


@dataclass(frozen=True, slots=True)
class SharedRevision:
    """What a worker must know of a revision before it can serve it."""

    revision: str
    files: bytes  # an archive of the policy folder, without tests

    @classmethod
    def of(cls, served: ServedRevision) -> SharedRevision:
        """Describe a revision that this process serves. Blocks, so call it in a thread."""
        if served.bundle.tree is None:
            raise AssertionError("a managed OPA serves a bundle that was built from files")
        return cls(served.revision, pack(served.bundle.tree.deciding))


@dataclass(frozen=True, slots=True)
class _RemoteProcess:
    """An OPA of another process: the part of `OpaProcess` that a revision uses which is never restarted here."""

    address: Address
    running: bool = True

    async def stop(self) -> None:
        """Do nothing."""


class PolicySupervisor(Protocol):
    """The process that runs OPA."""

    def await_policy(self) -> None:
        """Tell it that this process is ready to serve what it names."""
        ...

    async def check_policy(self) -> None:
        """Make it look for a new policy. Returns when this process serves the result."""
        ...


class SharedPolicies:
    """A `PolicySource` of a worker process."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        clock: Clock,
        on_ready: Callable[[bool], Awaitable[None]],
        supervisor: PolicySupervisor,
    ) -> None:
        """Serve nothing yet. `on_ready` receives whether OPA answers."""
        self._source = source
        self._engine = engine
        self._clock = clock
        self._on_ready = on_ready
        self._supervisor = supervisor
        self._prepared: Bundle | None = None
        self._served: ServedRevision | None = None
        self._replaced: list[ServedRevision] = []
        self._known = asyncio.Event()
        self._status = PolicyStatus(ready=False, engine_mode=EngineMode.MANAGED)

    def current(self) -> ServedRevision | None:
        """Return the policy that decides now, or None when none does."""
        return self._served

    def status(self) -> PolicyStatus:
        """Return the supervisor's status, at its age now, with the packs that were slow in this process."""
        if self._served is None:
            return self._status
        return self._served.status_now(self._status, self._clock, self._source.age_seconds_max)

    async def start(self) -> None:
        """Wait until the supervisor has named what is served."""
        self._supervisor.await_policy()
        await self._known.wait()

    async def run(self) -> None:
        """Wait until cancelled: the supervisor follows the changes of the policy."""
        await asyncio.Event().wait()

    async def check_now(self) -> None:
        """Make the supervisor read the policy folder now. Returns when this worker serves the result."""
        await self._supervisor.check_policy()

    async def close(self) -> None:
        """Close the connections to OPA."""
        await self.retire()
        if self._served is not None:
            await self._served.stop()

    async def prepare(self, shared: SharedRevision) -> None:
        """Read the tenants' files of a revision, so that `serve` can switch to it at once.

        Raises PolicyInvalidError when its files do not give the revision that the supervisor checked.
        """
        if self._served is None or self._served.revision != shared.revision:
            self._prepared = await asyncio.to_thread(self._bundle, shared)

    async def serve(self, revision: str, address: Address) -> None:
        """Decide by the revision from now on, at the OPA with this address. `prepare` was called for the revision."""
        served = self._served
        bundle = served.bundle if served is not None and served.revision == revision else self._prepared
        if bundle is None or bundle.revision != revision:
            raise AssertionError("a revision is prepared before it is served")
        process = cast("OpaProcess", _RemoteProcess(address))
        self._served = ServedRevision(bundle, self._engine, process, self._clock.monotonic())
        self._prepared = None
        if served is not None:
            self._replaced.append(served)

    async def retire(self) -> None:
        """Wait for the end of the queries to replaced revisions, which have a time limit."""
        while self._replaced:
            await self._replaced.pop().retire()

    async def follow(self, status: PolicyStatus, confirmed_at: float) -> None:
        """Take over the supervisor's status. `confirmed_at` is when the source was last seen, in monotonic seconds."""
        was_ready, self._status = self._status.ready, status
        if self._served is not None:
            self._served.confirmed_at = confirmed_at
        if status.ready != was_ready or not self._known.is_set():
            await self._on_ready(status.ready)
        self._known.set()

    def _bundle(self, shared: SharedRevision) -> Bundle:
        """Build the bundle of the files. The supervisor stored it in the cache, so that OPA does not check it again."""
        tree = tree_of(self._source.rego_dir, unpack(shared.files))
        bundle = bundle_of(tree, self._engine.opa, self._source.cache_dir, rules=check_rules_apart)
        if bundle.revision != shared.revision:
            what = f"gives the revision {bundle.revision} here, and {shared.revision} where it was checked"
            remedy = "restart the server, so that all its processes run one version of Placet"
            raise PolicyInvalidError([Diagnostic(str(self._source.rego_dir), what, remedy)])
        return bundle
