"""Peers as child processes on free ports."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_SECONDS_MAX: Final = 30
STOP_SECONDS_MAX: Final = 10


@contextlib.contextmanager
def running(command: Sequence[str], port: int, output: Path) -> Iterator[None]:
    """Run a program for the duration of the block, which begins when it listens on the port.

    `output` receives what it prints. Raises RuntimeError with it when the program does not listen in time.
    """
    with output.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as child:
        try:
            _wait_for(port, child, output)
            yield
        finally:
            child.terminate()
            child.wait(STOP_SECONDS_MAX)


def _wait_for(port: int, child: subprocess.Popen[bytes], output: Path) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{child.args!r} does not listen on port {port}: {output.read_text()[-500:]}")
