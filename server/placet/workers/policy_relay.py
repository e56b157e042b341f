"""Makes all workers serve the revision that the supervisor's policy source serves.

All workers switch in steps: each prepares the new revision, then each switches to it, then each ends its last queries
to the old OPA. A worker that does not finish a step in time is killed, and starts again with the newest revision. So no
two revisions decide for longer than SERVE_SECONDS_MAX, plus the commit that a worker has begun.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.engine.client import longest_evaluation_seconds
from placet.engine.managed import ManagedPolicies
from placet.engine.shared import SharedRevision
from placet.workers.messages import FollowPolicy, Prepare, Retire, Serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.engine.http import Address
    from placet.engine.served_revision import ServedRevision
    from placet.server.observer import ServerObserver
    from placet.server.parts.policies import RunningPolicies
    from placet.workers.process import WorkerProcess

PREPARE_SECONDS_MAX: Final = 60.0
"""Time limit for reading the tenants' files of a revision. The old revision decides until then."""
SERVE_SECONDS_MAX: Final = 2.0
"""Time limit from the first worker that decides by a new revision to the last one."""
RETIRE_EXTRA_SECONDS: Final = 1.0
"""Time beyond the longest evaluation for the last queries to a replaced revision. A worker that takes longer hangs."""


class PolicyRelay:
    """Relays the policy of the supervisor to its workers. Does nothing with an external OPA, which workers ask."""

    def __init__(self, observer: ServerObserver, opa_timeout_seconds: float) -> None:
        """Call `follow` with the policy source before the first worker joins."""
        self._observer = observer
        self._retire_seconds_max = longest_evaluation_seconds(opa_timeout_seconds) + RETIRE_EXTRA_SECONDS
        self._policies: ManagedPolicies | None = None
        self._workers: list[WorkerProcess] = []
        self._shared: SharedRevision | None = None  # the revision that workers serve
        self._address: Address | None = None  # of its OPA, as workers know it
        self._switching = asyncio.Lock()

    def follow(self, policies: RunningPolicies) -> None:
        """Set the source whose policy is relayed."""
        if isinstance(policies, ManagedPolicies):
            self._policies = policies

    async def join(self, worker: WorkerProcess) -> None:
        """Make a new worker serve the policy, also in all later switches. Its policy source must be started."""
        async with self._switching:
            self._workers.append(worker)
            await self._switch([worker])

    def leave(self, worker: WorkerProcess) -> None:
        """Forget a worker that ended."""
        if worker in self._workers:
            self._workers.remove(worker)

    async def relay(self) -> None:
        """Make all workers serve what the supervisor's source serves now. Returns when they do."""
        async with self._switching:
            served = self._served()
            if served is None or served.process.address == self._address:  # each OPA has another address
                self._tell_status(self._workers)
            else:
                await self._switch(list(self._workers))

    def _served(self) -> ServedRevision | None:
        return self._policies.current() if self._policies is not None else None

    async def _switch(self, workers: Sequence[WorkerProcess]) -> None:
        served = self._served()
        if served is not None:
            shared, address = self._shared, served.process.address
            if shared is None or shared.revision != served.revision:
                shared = await asyncio.to_thread(SharedRevision.of, served)
            self._shared, self._address = shared, address
            await self._step(workers, lambda number: Prepare(number, shared), PREPARE_SECONDS_MAX)
            await self._step(workers, lambda number: Serve(number, shared.revision, address), SERVE_SECONDS_MAX)
            await self._step(workers, Retire, self._retire_seconds_max)
        self._tell_status(workers)

    async def _step(self, workers: Sequence[WorkerProcess], make: Callable[[int], object], seconds: float) -> None:
        """Take all workers through a step at once, and kill those that do not finish it."""
        await asyncio.gather(*(self._take(worker, make, seconds) for worker in workers))

    async def _take(self, worker: WorkerProcess, make: Callable[[int], object], seconds: float) -> None:
        number = worker.channel.number()
        message = make(number)
        if not worker.ended.is_set() and (error := await worker.ask(message, number, seconds)):
            step = type(message).__name__.lower()
            self._observer.log.error("worker killed", worker=worker.number, cause=f"policy not served: {step}: {error}")
            worker.kill()

    def _tell_status(self, workers: Sequence[WorkerProcess]) -> None:
        policies = self._policies
        if policies is not None:
            served = self._served()
            confirmed_at = served.confirmed_at if served is not None else 0.0
            for worker in workers:
                worker.channel.send(FollowPolicy(policies.status(), confirmed_at))
