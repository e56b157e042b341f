"""Lets the processes of one server write to an SQLite file in turn.

SQLite itself polls for its lock with growing pauses of up to 100 ms, and gives up after a second. Under load a process
could so lose against the others again and again. Here a process waits for its turn in the kernel, which wakes it at
once. SQLite's own lock still excludes every other writer.
"""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the processes of one server share an SQLite file."""

    shared: bool  # whether several processes write
    inherited_lock: tuple[int, ...] = ()  # the parent's open lock files; empty in the process that takes the lock


ALONE: Final = Sharing(shared=False)
"""One process writes."""


class WriteTurns:
    """A context manager: entering waits for the turn, leaving gives it up. Lives in the writer's thread.

    The kernel ends the turn of a process that dies.
    """

    def __init__(self, database: Path) -> None:
        self._path = turn_file(database)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Wait for the turn. Raises OSError when the file cannot be opened or locked."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        """Give up the turn."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_turn(database: Path, *, shared: bool) -> WriteTurns | threading.Lock:
    """Return the turn of a thread among all that write. Without other processes these are the threads of one object."""
    return WriteTurns(database) if shared else threading.Lock()


def turn_file(database: Path) -> Path:
    """Return the file whose lock is the turn."""
    return database.with_name(database.name + ".turn")
