"""Watches the event loop: measures how late it is, and names what occupied it when it was blocked for long.

A timer in the loop measures the delay. A thread looks at the loop's stack when the timer is overdue, because the loop
itself cannot run then.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

BEAT_SECONDS: Final = 0.05
"""Interval of the measurements. Long blocks are always seen, short ones often enough."""
BLOCKED_SECONDS: Final = 0.25
"""Delays from this on are logged, if the loop was busy. Decisions in flight notice them."""
BUSY_SECONDS: Final = BLOCKED_SECONDS / 2
"""CPU time that the loop used in such a delay. With less, other programs occupied the machine."""
LOOK_SECONDS: Final = 0.03
"""How often the thread looks whether the timer is overdue."""
LOG_SECONDS: Final = 1.0
"""At most one block is logged in this time."""
FRAMES_MAX: Final = 4
"""Functions that are named, the innermost first."""
_PACKAGE: Final = "placet."


class LoopWatchdog:
    """Reports the delays of the running event loop."""

    def __init__(
        self,
        observe: Callable[[float], None],
        on_blocked: Callable[[float, float, str], None],
        quiet_seconds: float = 0.0,
    ) -> None:
        """`observe` receives the seconds of each delay. `on_blocked` receives those of BLOCKED_SECONDS and more.

        It receives the seconds of the delay, the seconds of CPU time that the loop used in it, and the functions that
        occupied it, or "" when they are unknown. When it used less than BUSY_SECONDS, other programs occupied
        the machine: that is a delay, but no block. Blocks in the first `quiet_seconds` of `run` are not reported.
        """
        self._observe = observe
        self._on_blocked = on_blocked
        self._quiet_seconds = quiet_seconds
        self._loop_thread = 0
        self._due_at = float("inf")
        self._seen = ""
        self._collecting = False
        self._logged_at = float("-inf")
        self._ended = threading.Event()

    async def run(self) -> None:
        """Watch the loop until cancelled."""
        self._loop_thread = threading.get_ident()
        self._logged_at = time.perf_counter() + self._quiet_seconds - LOG_SECONDS
        thread = threading.Thread(target=self._look, name="placet-loop-watchdog", daemon=True)
        thread.start()
        gc.callbacks.append(self._on_collection)
        try:
            while True:
                await self._beat()
        finally:
            gc.callbacks.remove(self._on_collection)
            self._ended.set()

    async def _beat(self) -> None:
        self._due_at, cpu = time.perf_counter() + BEAT_SECONDS, time.thread_time()
        await asyncio.sleep(BEAT_SECONDS)
        now = time.perf_counter()
        late = max(0.0, now - self._due_at)
        self._observe(late)
        cpu_seconds = time.thread_time() - cpu
        if late >= BLOCKED_SECONDS and cpu_seconds >= BUSY_SECONDS and now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            self._on_blocked(late, cpu_seconds, self._seen)
        self._seen = ""

    def _look(self) -> None:
        """Note what the loop does when its timer is overdue. Runs in the thread."""
        while not self._ended.wait(LOOK_SECONDS):
            if time.perf_counter() - self._due_at < BLOCKED_SECONDS / 2:
                continue
            frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the only way to see another thread
            where = _functions(frame) if frame is not None else ""
            if not self._seen:  # later the loop may have gone on already
                self._seen = f"garbage collection, in {where}" if self._collecting else where

    def _on_collection(self, phase: str, _info: object) -> None:
        if threading.get_ident() == self._loop_thread:
            self._collecting = phase == "start"


def _functions(frame: FrameType) -> str:
    """Return the innermost function, and those of Placet that called it: ``module.function line 12``."""
    names: list[str] = []
    current: FrameType | None = frame
    while current is not None and len(names) < FRAMES_MAX:
        module = str(current.f_globals.get("__name__", ""))
        if not names or module.startswith(_PACKAGE):
            names.append(f"{module}.{current.f_code.co_name} line {current.f_lineno}")
        current = current.f_back
    return " < ".join(names)
