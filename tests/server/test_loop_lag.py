"""The metric and the log event that tell for how long something held the event loop, and what did."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING

from placet.server.loop_watchdog import BEAT_SECONDS, LoopWatchdog
from tests.faults.serving import eventually, free_address
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HELD_SECONDS = 0.4


def test_a_loop_that_is_held_is_seen(tmp_path: Path) -> None:
    with serving(settings(tmp_path, metrics_listen=free_address())) as server:
        metrics = server.running.metrics.registry

        def late() -> float:
            return metrics.get_sample_value("placet_event_loop_lag_seconds_sum") or 0.0

        eventually(lambda: metrics.get_sample_value("placet_event_loop_lag_seconds_count"), 10, "timed")
        before = late()
        with server.busy():
            time.sleep(HELD_SECONDS)  # what holds it
        eventually(lambda: late() - before > HELD_SECONDS / 2, 10, "seen")
        assert late() >= before + HELD_SECONDS / 2


class Seen:
    """What a watchdog reports."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.blocked: list[tuple[float, float, str]] = []

    @contextlib.asynccontextmanager
    async def watching(self, quiet_seconds: float = 0.0) -> AsyncIterator[None]:
        """Watch the running loop for the duration of the block."""
        watchdog = LoopWatchdog(self.late.append, lambda *block: self.blocked.append(block), quiet_seconds)
        task = asyncio.create_task(watchdog.run())
        await asyncio.sleep(2 * BEAT_SECONDS)
        try:
            yield
            await asyncio.sleep(2 * BEAT_SECONDS)
        finally:
            task.cancel()
            await asyncio.wait({task})


def occupy() -> None:
    until = time.thread_time() + HELD_SECONDS
    while time.thread_time() < until:
        pass


def starve() -> None:
    """Be late without work, as when other programs occupy the machine."""
    time.sleep(HELD_SECONDS)


async def test_what_blocked_the_loop_is_named() -> None:
    seen = Seen()
    async with seen.watching():
        occupy()
    [(seconds, cpu_seconds, functions)] = [block for block in seen.blocked if block[0] > HELD_SECONDS / 2]
    assert f"{__name__}.occupy line " in functions
    assert seconds <= max(seen.late)
    assert cpu_seconds > 0


async def test_a_block_of_the_start_is_measured_and_not_reported() -> None:
    seen = Seen()
    async with seen.watching(quiet_seconds=60):
        occupy()
    assert seen.blocked == []
    assert max(seen.late) >= HELD_SECONDS / 2


async def test_a_collection_of_garbage_is_named() -> None:
    class Slow:
        def __del__(self) -> None:
            occupy()

    seen = Seen()
    async with seen.watching():
        cycle = Slow()
        cycle.itself = cycle  # type: ignore[attr-defined]
        del cycle
        gc.collect()
    assert any(functions.startswith("garbage collection, in ") for _, _, functions in seen.blocked)


async def test_a_loop_that_waits_is_not_blocked() -> None:
    before = list(gc.callbacks)
    seen = Seen()
    async with seen.watching():
        await asyncio.sleep(HELD_SECONDS)
        starve()
    assert seen.blocked == []
    assert len(seen.late) > 2
    assert max(seen.late) >= HELD_SECONDS / 2
    assert gc.callbacks == before
