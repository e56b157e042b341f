"""Watches an event loop from outside: how long it was held by one thing, and by what."""

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
"""What no request may hold the event loop for."""
BEAT_SECONDS: Final = 0.001
LOOK_SECONDS: Final = 0.002


@dataclass
class Watchdog:
    """What it saw: the longest hold in milliseconds of the loop's own processor time, and stacks of long ones.

    Processor time, so that other programs on the machine do not count.
    """

    longest_ms: float = 0.0
    stacks: list[str] = field(default_factory=list)
    _thread: int = 0
    _beat_cpu: float = 0.0
    _clock: int = 0

    def beat(self, loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
        """Note how much the loop did since the last beat. Runs in the loop."""
        now = time.clock_gettime(self._clock)
        if self._beat_cpu:
            self.longest_ms = max(self.longest_ms, (now - self._beat_cpu) * 1e3)
        self._beat_cpu = now
        if not over.is_set():
            loop.call_later(BEAT_SECONDS, self.beat, loop, over)

    def begin(self, loop: asyncio.AbstractEventLoop, over: threading.Event, begun: threading.Event) -> None:
        """Begin to beat. Runs in the loop."""
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self.beat(loop, over)
        begun.set()

    def show(self, what: str) -> None:
        """Tell on stdout what it saw, for who asks pytest for it."""
        sys.stdout.write(f"held {self.longest_ms:6.1f} ms: {what}\n")
        for line in {stack.splitlines()[-2] for stack in self.stacks}:
            sys.stdout.write(f"  {line}\n")

    def look(self) -> None:
        """Note the stack of the loop when it has been held for long."""
        held_ms = (time.clock_gettime(self._clock) - self._beat_cpu) * 1e3
        if held_ms > HELD_MS_MAX / 2 and (frame := sys._current_frames().get(self._thread)):
            self.stacks.append(f"{held_ms:.1f} ms\n{''.join(traceback.format_stack(frame)[-8:])}")


@contextlib.contextmanager
def watching(loop: asyncio.AbstractEventLoop) -> Iterator[Watchdog]:
    """Watch the loop, which runs in another thread, until the end of the block.

    As in `placet serve`, the collector does not walk over what was there before: here all that pytest has loaded.
    """
    gc.collect()
    gc.freeze()
    watchdog, over, begun = Watchdog(), threading.Event(), threading.Event()
    loop.call_soon_threadsafe(watchdog.begin, loop, over, begun)
    assert begun.wait(10)

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            watchdog.look()

    thread = threading.Thread(target=look, name="watchdog")
    thread.start()
    try:
        yield watchdog
    finally:
        over.set()
        thread.join()
        gc.unfreeze()
