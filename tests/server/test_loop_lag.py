"""The metric that tells for how long something held the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults.serving import eventually, free_address
from tests.serving import serving, settings

if TYPE_CHECKING:
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
