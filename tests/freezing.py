"""Stop a process as SIGSTOP does, for certain."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

WITHIN_SECONDS = 10.0
STOPPED = {"T", "t"}


def freeze(pid: int) -> None:
    """Returns when every thread stands: the signal alone leaves them some time to answer one more question."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + WITHIN_SECONDS
    while not _states(pid) <= STOPPED:
        assert time.monotonic() < until, f"process {pid} goes on"


def _states(pid: int) -> set[str]:
    return {path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")}
