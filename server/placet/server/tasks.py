"""What a server does beside deciding: each thing again and again, none of it able to stop another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from placet.server.ledger_clock import LedgerClock
    from placet.server.observer import ServerObserver
    from placet.storage.ledger import ThreadedLedger

STORE_PROBE_SECONDS: Final = 2.0
"""How often a store that failed is tried, so that health comes back without a request."""

LAG_PROBE_SECONDS: Final = 0.1
"""How often the event loop is timed. What holds it for long is seen; what holds it briefly is, often enough."""


async def background(
    loops: Sequence[Callable[[], Coroutine[object, object, None]]], on_error: Callable[[BaseException], None]
) -> None:
    """Run them all. Ends when one of them fails: nobody watches over it any longer, and `serve` stops the server."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for each in loops:
                tasks.create_task(each())
    except Exception as fault:  # noqa: BLE001 - told here, and the end of this tells `serve`
        on_error(fault)


def periodic(
    seconds: float, work: Callable[[], Awaitable[object]], reporter: ServerObserver
) -> Callable[[], Coroutine[object, object, None]]:
    """Do the work at intervals. What fails is tried again at the next; log and metric tell it."""

    async def loop() -> None:
        while True:
            try:
                await work()
            except LedgerUnavailableError as error:  # the ledger told why
                await reporter.tell_ledger(works=False, why=error)
            except Exception as fault:  # noqa: BLE001 - tried again
                reporter.fault(fault)
            await asyncio.sleep(seconds)

    return loop


async def follow_the_ledger(ledger: ThreadedLedger, clock: LedgerClock, reporter: ServerObserver) -> None:
    """Keep time from going behind the newest record, of other replicas too, and with the database server's clock."""
    await look_at_clocks(ledger, clock)
    await reporter.clocks(clock)


async def look_at_clocks(ledger: ThreadedLedger, clock: LedgerClock) -> None:
    """Take what the ledger knows of time. LedgerUnavailableError."""
    if (told := await ledger.server_time()) is not None:
        clock.measure(told)
    clock.follow((await ledger.newest_times()).values())


def unless_skewed(clock: LedgerClock, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    """The work that ends things by time, which cannot be taken back; nothing while no clock can be trusted."""

    async def work_or_wait() -> None:
        if not clock.skewed():
            await work()

    return work_or_wait


def watch_the_loop(observe: Callable[[float], None]) -> Callable[[], Coroutine[object, object, None]]:
    """Tell by how many seconds the event loop is late, again and again."""

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(LAG_PROBE_SECONDS)
            observe(max(0.0, time.perf_counter() - asked - LAG_PROBE_SECONDS))

    return watch


def probe_the_store(ledger: ThreadedLedger, reporter: ServerObserver) -> Callable[[], Coroutine[object, object, None]]:
    """Nobody sends requests to a server that is NOT_SERVING, so the store is tried without one."""

    async def probe() -> None:
        while True:
            await asyncio.sleep(STORE_PROBE_SECONDS)
            if not reporter.ledger_works:
                with contextlib.suppress(LedgerUnavailableError):  # told when it began
                    await ledger.probe()
                    await reporter.tell_ledger(works=True)

    return probe
