"""Keeps the worker processes of a server running: starts them, restarts those that end, and stops them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError, UnavailableError
from placet.kernel.limits import SHUTDOWN_SECONDS_MAX
from placet.workers.messages import CheckPolicy, Done, RecordsStored, Stop
from placet.workers.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from placet.server.core import Core
    from placet.workers.messages import Begin
    from placet.workers.policy_relay import PolicyRelay

RESTART_BACKOFF_SECONDS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS: Final = 30.0
"""A worker that ran for this long is restarted immediately; one that ended sooner, with increasing delays."""
RESTARTS_MAX: Final = 8
"""Restarts in a row of a worker that never ran for STEADY_SECONDS. Then the server stops."""
START_SECONDS_MAX: Final = 60.0
"""Time limit from the start of a worker to its first call."""
PING_SECONDS: Final = 2.0
HANG_SECONDS_MAX: Final = 15.0
"""A worker whose event loop does not run for this long is killed."""
STOP_SECONDS_MAX: Final = SHUTDOWN_SECONDS_MAX - 2.5
"""Time that workers have to finish. The rest is for the supervisor's last record and the end of OPA."""


class Supervisor:
    """Runs the workers 1 to N. `begin` returns the first message to the worker with a number."""

    def __init__(
        self, core: Core, relay: PolicyRelay, begin: Callable[[int], Begin], count: int, inherited: Sequence[int]
    ) -> None:
        """Prepare. `inherited` are the descriptors that each worker inherits."""
        self._core = core
        self._relay = relay
        self._begin = begin
        self._count = count
        self._inherited = inherited
        self._workers: dict[int, WorkerProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_count: Callable[[int], None] = lambda _accepting: None

    async def start(self) -> None:
        """Start all workers and wait until they accept calls. Raises ConfigurationError when one does not."""
        starting = [asyncio.create_task(self._start(number)) for number in range(1, self._count + 1)]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for task in starting:
                task.cancel()
            await asyncio.wait(starting)
            for worker in self._workers.values():
                worker.kill()
                await worker.ended.wait()
            raise

    def on_count(self, on_count: Callable[[int], None]) -> None:
        """Call this with the number of workers that accept calls, whenever it may have changed."""
        self._on_count = on_count

    async def run(self) -> None:
        """Restart workers that end, until cancelled. Raises UnavailableError when one cannot be kept running."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(1, self._count + 1):
                tasks.create_task(self._keep(number), name=f"placet-worker-{number}")

    async def stop(self) -> None:
        """Let all workers finish their calls and end. Raises UnavailableError when one did not end in order.

        Cancel `run` first, which would start them again.
        """
        workers = [worker for worker in self._workers.values() if not worker.ended.is_set()]
        for worker in workers:
            worker.channel.send(Stop())
        await asyncio.gather(*(self._end(worker) for worker in workers))
        for task in self._tasks:
            task.cancel()
        if failed := [f"worker {each.number} (exit status {each.exit_code})" for each in workers if each.exit_code]:
            raise UnavailableError(f"stopped, but not all workers did in order: {', '.join(failed)}; see the log")

    async def _end(self, worker: WorkerProcess) -> None:
        try:
            if not await worker.ended_within(STOP_SECONDS_MAX):
                worker.kill()
                await worker.ended.wait()
        finally:
            worker.kill()  # cancelled: the supervisor has no time left
            self._forget(worker)

    async def _start(self, number: int) -> None:
        """Start a worker and wait until it accepts calls. Raises ConfigurationError when it does not."""
        worker = await WorkerProcess.start(number, self._begin(number), self._inherited)
        self._workers[number] = worker
        self._spawn(worker.read(lambda message: self._handle(worker, message)))
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                if await _first(worker.awaits_policy, worker.ended):
                    await self._relay.join(worker)
                if await _first(worker.accepts, worker.ended):
                    self._core.observer.log.info("worker accepts calls", worker=number, pid=worker.pid)
                    self._count_workers()
                    return
        except TimeoutError:
            worker.kill()
        await worker.ended.wait()
        self._forget(worker)
        raise ConfigurationError(
            f"worker {number} did not start (exit status {worker.exit_code}); its reason is above, or in the log"
        )

    async def _keep(self, number: int) -> None:
        """Restart the worker whenever it ends."""
        clock, observer = self._core.clock, self._core.observer
        restarts = 0
        while True:
            worker = self._workers[number]
            started_at = clock.monotonic()
            await self._watch(worker)
            self._forget(worker)
            observer.log.error("worker ended", worker=number, pid=worker.pid, exit_status=worker.exit_code)
            restarts = 0 if clock.monotonic() - started_at > STEADY_SECONDS else restarts
            restarts = await self._restart(number, restarts)

    async def _restart(self, number: int, restarts: int) -> int:
        """Start a worker until one accepts calls. Returns the number of restarts in a row."""
        while True:
            if restarts >= RESTARTS_MAX:
                raise UnavailableError(f"worker {number} ended {restarts} times in a row; the server stops")
            await asyncio.sleep(RESTART_BACKOFF_SECONDS[min(restarts, len(RESTART_BACKOFF_SECONDS) - 1)])
            restarts += 1
            self._core.observer.metrics.worker_restarts.inc()
            try:
                await self._start(number)
            except (ConfigurationError, OSError) as error:
                log = self._core.observer.log
                log.error("worker not restarted", worker=number, cause=str(error))  # noqa: TRY400 - the cause suffices
            else:
                return restarts

    async def _watch(self, worker: WorkerProcess) -> None:
        """Wait until the worker ends. Kill it when its event loop hangs."""
        while not await worker.ended_within(PING_SECONDS):
            if not await worker.ping(HANG_SECONDS_MAX) and not worker.ended.is_set():
                cause = f"its event loop did not run for {HANG_SECONDS_MAX:g} s"
                self._core.observer.log.error("worker killed", worker=worker.number, cause=cause)
                worker.kill()

    def _forget(self, worker: WorkerProcess) -> None:
        self._relay.leave(worker)
        self._core.observer.metrics.forget_process(worker.pid)
        if self._workers.get(worker.number) is worker:
            self._count_workers()

    def _count_workers(self) -> None:
        accepting = [each for each in self._workers.values() if each.accepts.is_set() and not each.ended.is_set()]
        self._core.observer.metrics.workers.set(len(accepting))
        self._on_count(len(accepting))

    def _handle(self, worker: WorkerProcess, message: object) -> None:
        """Handle a message of a worker that concerns others."""
        match message:
            case RecordsStored():
                self.tell_stored(worker)
                self._core.ledger.stored_elsewhere()
            case CheckPolicy(number):
                self._spawn(self._check_policy(worker, number))

    def tell_stored(self, by: WorkerProcess | None = None) -> None:
        """Tell all workers, except the one that stored them, that there are new records."""
        for worker in self._workers.values():
            if worker is not by:
                worker.channel.send(RecordsStored())

    async def _check_policy(self, worker: WorkerProcess, number: int) -> None:
        error = ""
        try:
            await self._core.policies.check_now()
            await self._relay.relay()
        except Exception as failure:  # noqa: BLE001 - reported here, and the one who waits gets an answer
            self._core.observer.error(failure)
            error = "the policy could not be checked; see the log"
        worker.channel.send(Done(number, error))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _first(event: asyncio.Event, other: asyncio.Event) -> bool:
    """Wait for either event. Returns whether it was the first one."""
    waits = [asyncio.create_task(each.wait()) for each in (event, other)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    return event.is_set()
