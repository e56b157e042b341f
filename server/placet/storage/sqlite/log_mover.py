"""Moves the write-ahead log of an SQLite database into its main file, beside the commits instead of within them.

A commit appends to the log and syncs it: that alone makes it durable. SQLite would move the log into the main file as
part of a commit, which then waits for two more syncs and up to a thousand pages. Here a thread with a separate
connection does that. It needs no lock that a commit waits for, except when the log has become long: then it excludes
commits for the moment in which it moves what was appended since, so that the next commit begins the log anew.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from placet.storage.connections.sqlite import WAL_BYTES_KEPT, connect_log_mover, move_log
from placet.storage.connections.write_turns import WriteTurns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.storage.connections.file_guard import FileGuard
    from placet.storage.connections.sqlite import SqliteConnection

REST_SECONDS: Final = 1.0
"""How long the log collects commits before it is moved: a move costs two syncs, which commits wait behind."""
RETRY_SECONDS_MAX: Final = 5.0
"""How long it waits when the log stays long because a reader needs it, such as a verification."""


class LogMover:
    """Moves the log of one database. All methods but `run` belong to the writer's thread."""

    def __init__(self, path: Path, files: FileGuard, turn: WriteTurns | threading.Lock) -> None:
        """`turn` excludes commits, also those of other processes."""
        self._path = path
        self._files = files
        self._turn = turn
        self.moving = threading.Lock()
        """Held while the log is moved. Taken after the turn, if at all."""
        self.on_error: Callable[[BaseException], None] = _ignore
        """Receives what fails in its thread. Commits go on, and the log stays as it is."""
        self._changed = threading.Condition()
        self._written = self._long = self._ended = self._in_use = False
        self._connection: SqliteConnection | None = None
        self._thread: threading.Thread | None = None

    def committed(self, log_bytes: int) -> None:
        """Move the log soon, because a transaction was added to it. `log_bytes` is the length of its file.

        SQLite cuts the file to WAL_BYTES_KEPT when it begins the log anew. So the log is long if the file is longer.
        """
        self._in_use = True
        long = log_bytes > WAL_BYTES_KEPT
        if self._written and (self._long or not long):
            return
        with self._changed:
            self._written, self._long = True, long
            self._changed.notify()
        if self._thread is None and not self._ended:
            self._thread = threading.Thread(target=self.run, name="placet-ledger-log", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Close the connection. There is no move until the next transaction."""
        with self.moving:
            self._in_use = False
            self._disconnect()

    def finish(self) -> None:
        """End the thread and close the connection."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self.close()
        if isinstance(self._turn, WriteTurns):
            self._turn.close()

    def run(self) -> None:
        """Move the log once for each REST_SECONDS in which there was a commit, at once when it is long."""
        retry_seconds = 0.0
        while (long := self._wait(retry_seconds)) is not None:
            if self._move(long=long) or not long:
                retry_seconds = 0.0
            else:
                retry_seconds = min(max(0.1, retry_seconds * 2), RETRY_SECONDS_MAX)

    def _wait(self, retry_seconds: float) -> bool | None:
        """Wait until the log has to be moved. Return whether it is long; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, retry_seconds)
            self._changed.wait_for(lambda: self._written or self._ended)
            self._changed.wait_for(lambda: self._long or self._ended, REST_SECONDS)
            long, self._written, self._long = self._long, False, False
            return None if self._ended else long

    def _move(self, *, long: bool) -> bool:
        """Move the log, of a long one also the rest. Return whether nothing is left to move."""
        try:
            moved = self._move_part()
            if long:  # a commit that was added during the move is not in its result
                with self._turn:
                    moved = self._move_part()
        except (sqlite3.Error, OSError) as error:
            self.on_error(error)
            with self.moving:
                self._disconnect()
            return False
        return moved

    def _move_part(self) -> bool:
        with self.moving, self._files.moving_log():
            if not self._in_use or self._files.lost:
                return True
            if self._connection is None:
                self._connection = connect_log_mover(self._path)
            return move_log(self._connection)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _ignore(_: BaseException) -> None:
    """The default of `on_error`."""
