"""Function calls and CPU time of requests that a decision path in this process decides."""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import FrameType

    Authorize = Callable[[bytes], Awaitable[bytes]]
    """Returns the bytes of the response to those of a request."""
    Authorizing = Callable[[Path], AbstractAsyncContextManager[Authorize]]
    """Builds a decision path in a folder."""

STATEMENTS: Final = frozenset({"execute", "executemany", "executescript"})
"""Names of functions in C that run SQL."""


class Counter:
    """Counts calls of Python and C functions in the threads where it is the profile function, while `active`.

    SQL statements are calls of functions of the module sqlite3, in C.
    """

    def __init__(self) -> None:
        self.active = False
        self.calls = 0
        self.statements = 0

    def __call__(self, _frame: FrameType, event: str, argument: object) -> None:
        if self.active and event in {"call", "c_call"}:
            self.calls += 1
            if event == "c_call" and getattr(argument, "__name__", "") in STATEMENTS and not _moves_log():
                self.statements += 1


def _moves_log() -> bool:
    """Return whether this is the thread that moves SQLite's log, once a second beside the commits."""
    return threading.current_thread().name == "placet-ledger-log"


def profile(
    authorizing: Authorizing, warm_up: Sequence[bytes], counted: bytes, counter: Counter, profiler: Any = None
) -> None:
    """Profile one request, in the event loop and the store's threads, after others that fill the caches.

    `counter` is active during the request. It is the profile function, unless `profiler` is.
    """
    profiler = profiler or counter

    async def count() -> None:
        with tempfile.TemporaryDirectory(prefix="placet-calls-") as folder:
            async with authorizing(Path(folder)) as authorize:
                for request in warm_up:
                    await authorize(request)
                sys.setprofile(profiler)
                counter.active = True
                await authorize(counted)
                counter.active = False
                sys.setprofile(None)

    threading.setprofile(profiler)  # for the store's threads, which start within
    try:
        uvloop.run(count())
    finally:
        threading.setprofile(cast("Any", None))


def cpu_ns(authorizing: Authorizing, requests: Sequence[bytes]) -> list[int]:
    """Return the CPU time of each request, in nanoseconds."""

    async def measure() -> list[int]:
        taken = []
        with tempfile.TemporaryDirectory(prefix="placet-calls-") as folder:
            async with authorizing(Path(folder)) as authorize:
                gc.collect()
                gc.freeze()  # as the server does after its start
                for request in requests:
                    started = time.process_time_ns()
                    await authorize(request)
                    taken.append(time.process_time_ns() - started)
                gc.unfreeze()
        return taken

    return uvloop.run(measure())
