"""The program of a worker process. Only the supervisor runs it, with a descriptor and its own process id."""

from __future__ import annotations

import ctypes
import functools
import os
import pickle
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from placet.workers.messages import Begin

EXIT_REFUSED: Final = 2
"""Exit code of a worker that could not start."""
_PR_SET_PDEATHSIG: Final = 1


def main(descriptor: int, supervisor_pid: int) -> int:
    """Run a worker. Returns the exit code."""
    die_with(supervisor_pid)
    with socket.socket(fileno=descriptor) as end:
        begin = _read_begin(end)
        from placet.kernel.errors import PlacetError  # noqa: PLC0415 - only now: the supervisor waits for no import
        from placet.server.lifecycle import run  # noqa: PLC0415 - likewise
        from placet.workers.worker import open_worker  # noqa: PLC0415 - likewise

        try:
            return run(begin.settings, functools.partial(open_worker, begin=begin, end=end))
        except PlacetError as error:
            sys.stderr.write(f"placet: worker {begin.settings.replica_id}: {error}\n")
            return EXIT_REFUSED


def die_with(parent_pid: int) -> None:
    """Make the kernel kill this process when its parent ends, also by kill -9. Exits when it has ended already."""
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != parent_pid:
        sys.exit("placet: the supervisor is gone or prctl(PR_SET_PDEATHSIG) failed")


def _read_begin(end: socket.socket) -> Begin:
    """Read the first message, before there is an event loop."""
    length = int.from_bytes(_read(end, 8))
    begin: Begin = pickle.loads(_read(end, length))  # noqa: S301 - from the supervisor, over a private socket pair
    return begin


def _read(end: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        if not (part := end.recv(count - len(content))):
            sys.exit("placet: the supervisor is gone")
        content += part
    return bytes(content)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
