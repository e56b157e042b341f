"""Background work of a server. Each task runs in a loop, and no task can stop another."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from placet.server.ledger_clock import LedgerClock
    from placet.server.observer import ServerObserver
    from placet.storage.ledger import ThreadedLedger

STORE_PROBE_SECONDS: Final = 2.0
"""Interval of the probes of a failed store."""


async def run_all(
    loops: Sequence[Callable[[], Coroutine[object, object, None]]], on_error: Callable[[BaseException], None]
) -> None:
    """Run all loops. Returns only when one of them fails; `serve` then stops the server."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for loop in loops:
                tasks.create_task(loop())
    except Exception as error:  # noqa: BLE001 - reported here; the return stops the server
        on_error(error)


async def first_of(*tasks: asyncio.Task[None]) -> None:
    """Return when the first task ends."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


def periodic(
    seconds: float, work: Callable[[], Awaitable[object]], observer: ServerObserver
) -> Callable[[], Coroutine[object, object, None]]:
    """Return a loop that does the work every `seconds`. A failure is logged, counted and retried at the next turn."""

    async def loop() -> None:
        while True:
            try:
                await work()
            except LedgerUnavailableError as error:
                await observer.report_ledger(works=False, error=error)
            except Exception as error:  # noqa: BLE001 - retried at the next turn
                observer.error(error)
            await asyncio.sleep(seconds)

    return loop


async def follow_ledger(ledger: ThreadedLedger, clock: LedgerClock, observer: ServerObserver) -> None:
    """Advance the clock to the newest record of any replica and to the database server's time; report the skew."""
    await update_clock(ledger, clock)
    await observer.clocks(clock)


async def update_clock(ledger: ThreadedLedger, clock: LedgerClock) -> None:
    """Give the clock the database server's time and the newest records. Raises LedgerUnavailableError."""
    if (server_time := await ledger.server_time()) is not None:
        clock.measure(server_time)
    clock.follow((await ledger.newest_times()).values())


def unless_skewed(clock: LedgerClock, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    """Return work that does nothing while the clock is skewed. Use it for expiry, which cannot be undone."""

    async def work_or_wait() -> None:
        if not clock.skewed():
            await work()

    return work_or_wait


def probe_store(ledger: ThreadedLedger, observer: ServerObserver) -> Callable[[], Coroutine[object, object, None]]:
    """Return a loop that probes a failed store.

    Clients send no requests to a server that is NOT_SERVING, so without probes health could not recover.
    """

    async def probe() -> None:
        while True:
            await asyncio.sleep(STORE_PROBE_SECONDS)
            if not observer.ledger_works:
                with contextlib.suppress(LedgerUnavailableError):  # reported when it began
                    await ledger.probe()
                    await observer.report_ledger(works=True)

    return probe
