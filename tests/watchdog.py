"""Measures from another thread how long single callbacks occupy an event loop, and which ones."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

HELD_MS_MAX: Final = 20
"""The longest time that a request may occupy the event loop."""
BEAT_SECONDS: Final = 0.001
LOOK_SECONDS: Final = 0.002


@dataclass
class Watchdog:
    """The measurements. They are of the CPU time of the loop's thread, so that other programs do not count."""

    longest_ms: float = 0.0  # of one callback
    stacks: list[str] = field(default_factory=list)  # of callbacks that took long
    _thread: int = 0
    _beat_cpu: float = 0.0
    _clock: int = 0

    def beat(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        """Measure the CPU time since the last beat. Runs in the loop."""
        now = time.clock_gettime(self._clock)
        if self._beat_cpu:
            self.longest_ms = max(self.longest_ms, (now - self._beat_cpu) * 1e3)
        self._beat_cpu = now
        if not ended.is_set():
            loop.call_later(BEAT_SECONDS, self.beat, loop, ended)

    def begin(self, loop: asyncio.AbstractEventLoop, ended: threading.Event, begun: threading.Event) -> None:
        """Start the beats. Runs in the loop."""
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self.beat(loop, ended)
        begun.set()

    def show(self, what: str) -> None:
        """Print the measurements; `pytest -s` shows them."""
        sys.stdout.write(f"held {self.longest_ms:6.1f} ms: {what}\n")
        for line in {stack.splitlines()[-2] for stack in self.stacks}:
            sys.stdout.write(f"  {line}\n")

    def look(self) -> None:
        """Record the stack of the loop when the current callback has taken more than half of HELD_MS_MAX."""
        held_ms = (time.clock_gettime(self._clock) - self._beat_cpu) * 1e3
        if held_ms > HELD_MS_MAX / 2 and (frame := sys._current_frames().get(self._thread)):
            self.stacks.append(f"{held_ms:.1f} ms\n{''.join(traceback.format_stack(frame)[-8:])}")


@contextlib.contextmanager
def watching(loop: asyncio.AbstractEventLoop) -> Iterator[Watchdog]:
    """Measure the loop, which runs in another thread, for the duration of the block.

    As in `placet serve`, the garbage collector skips objects from before: here all that pytest has loaded.
    """
    gc.collect()
    gc.freeze()
    watchdog, ended, begun = Watchdog(), threading.Event(), threading.Event()
    loop.call_soon_threadsafe(watchdog.begin, loop, ended, begun)
    assert begun.wait(10)

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            watchdog.look()

    thread = threading.Thread(target=look, name="watchdog")
    thread.start()
    try:
        yield watchdog
    finally:
        ended.set()
        thread.join()
        gc.unfreeze()
