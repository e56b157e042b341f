"""Stops a process with SIGSTOP, and waits until it has stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

WITHIN_SECONDS = 10.0
STOPPED = {"T", "t"}


def freeze(pid: int) -> None:
    """Stop a process. Returns when every thread has stopped: until then one of them may still answer a request."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + WITHIN_SECONDS
    while not _states(pid) <= STOPPED:
        assert time.monotonic() < deadline, f"process {pid} did not stop within {WITHIN_SECONDS:g} s"


def _states(pid: int) -> set[str]:
    return {path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")}
