"""Detects that the files of an SQLite database are no longer those that the server writes to.

A write to a file that was removed, replaced or truncated succeeds, and is lost when the process ends. So each commit
checks the files before it is acknowledged: six calls of stat and two reads of 32 bytes, about 10 us.

Commits write to the log only. The main file changes when the log is moved into it, in any thread.

When the server has several processes, each of them sees the others write to the database and shorten the log. Then only
removed and replaced files are detected here. A truncated log is detected by the next commit of each process, because
its chain no longer ends where the process left it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from placet.storage.connections.file_lock import lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

WAL_HEADER_BYTES: Final = 32
_REMOVED: Final = "was removed"
_REMEDY: Final = (
    "nothing is acknowledged until the server is restarted. Stop it, see who touched the data directory, run "
    "`placet audit verify`, and restore a backup when that finds records missing"
)


class FilesLostError(Exception):
    """A database file is no longer the one that was opened. Data written to it may be lost."""


class DatabaseAwayError(Exception):
    """There is no file at the database's path. The same file may come back."""


class _Seen(NamedTuple):
    """A file as it was: its identity, its length, and when it was last written."""

    device: int
    inode: int
    size: int
    written_at_ns: int


class FileGuard:
    """Checks the files of one database. Once one is lost, every later check fails. Lives in the writer's thread.

    `shared` is whether other processes of the same server write to the database.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._shared = shared
        self._database = str(path)
        self._wal = f"{path}-wal"
        self._files = (self._database, self._wal, f"{path}-shm")
        self._lock = str(lock_file(path))
        self._first: tuple[int, int] | None = None
        self._first_lock: tuple[int, int] | None = None
        self._seen: dict[str, _Seen] = {}
        self._wal_descriptor: int | None = None
        self._wal_header = b""
        self._shrinks_to_bytes = 0
        self._moves = 0  # counts beginnings and ends of moves of the log into the main file: odd during a move
        self._moved_at_ns = 0  # when the last move wrote to the main file
        self.lost = ""

    @property
    def database_is_in_place(self) -> bool:
        """Whether the main file is the one that was opened, so that a lost log can be moved into it."""
        before = self._seen.get(self._database)
        moves = self._moves
        return not self._change(self._database, before, self._look(self._database), moves)

    def opened(self, shrinks_to_bytes: int) -> None:
        """Remember the files that a new connection opened. Raises FilesLostError when the database is a different file.

        `shrinks_to_bytes` is the length to which SQLite itself may truncate the log when it restarts it.
        """
        self._shrinks_to_bytes = shrinks_to_bytes
        seen = self._look(self._database)
        if self._first is not None and (seen is None or (seen.device, seen.inode) != self._first):
            self._lose(self._database, "was replaced" if seen else _REMOVED)
        self._wal_descriptor = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
        self.committed()
        if seen is not None:
            self._first = (seen.device, seen.inode)
        if self._first_lock is None and (lock := self._look(self._lock)) is not None:
            self._first_lock = (lock.device, lock.inode)

    @property
    def log_bytes(self) -> int:
        """The length of the log's file after the last transaction."""
        seen = self._seen.get(self._wal)
        return seen.size if seen is not None else 0

    def committed(self) -> None:
        """Remember the files as the server itself left them."""
        self._remember([self._look(path) for path in self._files], self._read_header())

    @contextlib.contextmanager
    def moving_log(self) -> Iterator[None]:
        """Allow writes to the main file during the block, and remember how it is left. One block at a time."""
        self._moves += 1
        try:
            yield
        finally:
            main = self._look(self._database)
            self._moved_at_ns = main.written_at_ns if main is not None else 0
            self._moves += 1

    def closed(self) -> None:
        """Forget the log, because SQLite may remove it when a connection is closed."""
        self._seen, self._wal_header = {}, b""
        if self._wal_descriptor is not None:
            os.close(self._wal_descriptor)
            self._wal_descriptor = None

    def require(self, *, after_write: bool = False) -> None:
        """Raise FilesLostError or DatabaseAwayError when a file is not as it was left.

        `after_write`: the server's own transaction wrote in between, so lengths and times may have changed. Then the
        files are remembered as it left them.
        """
        if self.lost:
            raise FilesLostError(self.lost)
        if not self._seen:
            return
        moves = self._moves
        looks = [self._look(path) for path in self._files]
        header = self._read_header()
        for path, now in zip(self._files, looks, strict=True):
            before = self._seen.get(path)
            if now is not None and now == before:
                continue
            if change := self._change(path, before, now, moves, after_write=after_write):
                self._lose(path, change)
        if not after_write:
            if self._wal_header and not self._shared and header != self._wal_header:
                self._lose(self._wal, "was overwritten")
            return
        if header and not header.strip(b"\0"):
            self._lose(self._wal, "was cut off")
        self._remember(looks, header)

    def _remember(self, looks: Sequence[_Seen | None], header: bytes) -> None:
        pairs = zip(self._files, looks, strict=True)
        self._seen = {path: seen for path, seen in pairs if seen is not None}
        self._wal_header = header

    def _change(
        self, path: str, before: _Seen | None, now: _Seen | None, moves: int, *, after_write: bool = False
    ) -> str:
        """Return what happened to a file; empty when nothing did. `moves` is the count before it was looked at."""
        if now is None:
            return _REMOVED
        if before is None:
            return ""
        if (now.device, now.inode) != (before.device, before.inode):
            return "was replaced"
        if now.size < self._size_min(path, before, after_write=after_write):
            return "was cut off"
        own = self._shared or after_write
        if path == self._database and not own and self._written_by_others(before, now, moves):
            return "was written to by another program"
        return ""

    def _written_by_others(self, before: _Seen, now: _Seen, moves: int) -> bool:
        """Return whether the main file was written to, but not by a move of the log. During a move this is unknown."""
        moving = moves % 2 or moves != self._moves
        return not moving and now.written_at_ns not in {before.written_at_ns, self._moved_at_ns}

    def _size_min(self, path: str, before: _Seen, *, after_write: bool) -> int:
        """Return the bytes that the file must have at least."""
        if path != self._wal:
            return before.size
        if self._shared:  # another process of this server may have emptied it
            return 0
        return min(before.size, self._shrinks_to_bytes) if after_write else before.size

    def _lose(self, path: str, what: str) -> None:
        """Raise the error for a changed file. Only a moved main file may come back; anything else is final."""
        if path == self._database and what == _REMOVED:
            raise DatabaseAwayError(f"{path}: {what} while the server runs; move the same file back, or restart")
        self.lost = f"{path}: {what} while the server runs{self._unlocked()}; {_REMEDY}"
        raise FilesLostError(self.lost)

    def _unlocked(self) -> str:
        """Return what happened to the lock file, which keeps other writers out; empty when nothing did."""
        now = self._look(self._lock)
        if self._first_lock is None or (now is not None and (now.device, now.inode) == self._first_lock):
            return ""
        what = "was replaced" if now else _REMOVED
        return f", and its lock file {self._lock} {what}, so that another program may write: never remove that file"

    def _read_header(self) -> bytes:
        return os.pread(self._wal_descriptor, WAL_HEADER_BYTES, 0) if self._wal_descriptor is not None else b""

    @staticmethod
    def _look(file: str) -> _Seen | None:
        try:
            status = os.stat(file)  # noqa: PTH116 - called six times for each commit
        except OSError:
            return None
        values = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return tuple.__new__(_Seen, values)  # without the constructor, which is written in Python
