"""The life of a server process: from the settings to the exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

import uvloop

from placet.kernel.limits import SHUTDOWN_SECONDS_MAX
from placet.privacy import plain_text
from placet.server.build import open_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from placet.server.core import RunningServer
    from placet.server.settings.model import Settings

    Opening = Callable[[Settings], AbstractAsyncContextManager[RunningServer]]

EXIT_DISORDERLY: Final = 1
"""Exit code of a stop without the final record, or after an internal error."""
SECOND_SIGNAL_SECONDS: Final = 1.0
"""Signals closer together count as one: ``timeout`` and service managers may signal a process and its group."""
GC_THRESHOLDS: Final = (20_000, 20, 50)
"""For `gc.set_threshold`: a batch allocates thousands of objects without cycles. Halves p99 at 32 callers."""

SWITCH_SECONDS: Final = 0.001
"""For `sys.setswitchinterval`: while a thread reads a changed policy, the event loop waits for it up to this long after
each system call. Python's own 5 ms add up to 50 ms a decision."""


def run(settings: Settings, opening: Opening = open_server) -> int:
    """Serve until a signal and return the exit code. `opening` runs the server for the duration of its block.

    The process ends at the latest SHUTDOWN_SECONDS_MAX after the first signal: every answer is durable by then. Raises
    ConfigurationError or PolicyInvalidError when the server cannot start.
    """
    watchdog = threading.Timer(SHUTDOWN_SECONDS_MAX, os._exit, [EXIT_DISORDERLY])
    watchdog.daemon = True
    try:
        return uvloop.run(serve(settings, when_stopping=watchdog.start, opening=opening))
    finally:
        watchdog.cancel()


async def serve(
    settings: Settings,
    when_ready: Callable[[RunningServer], Awaitable[bool]] | None = None,
    when_stopping: Callable[[], None] = lambda: None,
    opening: Opening = open_server,
) -> int:
    """Serve until a signal and return the exit code.

    Awaits `when_ready` once the server accepts calls, and stops right after it when it returns False. Calls
    `when_stopping` at the first signal; another signal, SECOND_SIGNAL_SECONDS later or more, ends the process
    immediately.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    starting = asyncio.current_task()
    stopping_at = 0.0

    def on_signal() -> None:
        nonlocal stopping_at
        if stop.is_set():
            if loop.time() - stopping_at >= SECOND_SIGNAL_SECONDS:
                os._exit(EXIT_DISORDERLY)
            return
        stopping_at = loop.time()
        stop.set()
        when_stopping()
        if starting is not None:
            starting.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
        loop.add_signal_handler(number, on_signal)
    gc.disable()  # nearly all objects of the start live as long as the process
    try:
        async with opening(settings) as server:
            starting = None
            _tune_gc()
            sys.setswitchinterval(SWITCH_SECONDS)
            if when_ready is None or await when_ready(server):
                stopped = asyncio.create_task(stop.wait())
                try:
                    await asyncio.wait({stopped, server.background}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    stopped.cancel()
                return EXIT_DISORDERLY if server.background.done() else 0
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        gc.enable()
    return 0


def _tune_gc() -> None:
    """Exclude all objects of the start from garbage collection: they live as long as the process."""
    plain_text.prepare()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
