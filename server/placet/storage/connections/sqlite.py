"""Open SQLite database files: for the one writer, for readers beside it, and for looking at one that nobody serves."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects import sqlite

from placet.storage.sql.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

SQL: Final = Statements(sqlite.dialect(paramstyle="qmark"))
BUSY_TIMEOUT_MS: Final = 1_000
"""How long another process (a backup, a shell) may hold the database before a commit fails."""
DAMAGE_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
PRIMARY_CODE: Final = 0xFF
"""The part of an error code that says what it is about; the rest says where it came from."""
PROBE_BYTES: Final = 256 << 10
"""What a probe wants room for: more than a batch of ordinary decisions adds to the log."""
WAL_BYTES_KEPT: Final = 64 << 20
"""To this length the write-ahead log is cut when it begins anew; a burst must not keep the disk full for ever."""
CACHE_KIB: Final = 16_384
"""Pages that the writer keeps: the ends of all indexes, and then some."""


class SqliteConnection(sqlite3.Connection):
    """A `placet.storage.sql.driver.Connection`."""

    def fetch_each(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[Any]:
        """The first row or None for each of the parameters, all of one moment.

        Outside a transaction each look would lock and unlock the file: twice as long (9 us to 4 us a look, measured).
        """
        if self.in_transaction or len(parameters) <= 1:
            return self._first_rows(sql, parameters)
        self.execute("BEGIN")
        try:
            return self._first_rows(sql, parameters)
        finally:
            self.execute("COMMIT")

    def _first_rows(self, sql: str, parameters: Sequence[Sequence[Any]]) -> list[Any]:
        return [self.execute(sql, each).fetchone() for each in parameters]

    def fetch_lists(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[list[Any]]:
        """All rows for each of the parameters."""
        return [self.execute(sql, each).fetchall() for each in parameters]

    def together(self) -> AbstractContextManager[object]:
        """There is no way to save."""
        return contextlib.nullcontext()

    def stream(self, sql: str, parameters: Sequence[Any], /) -> Iterator[Any]:
        """The rows one by one."""
        return self.execute(sql, parameters)


def connect_writer(path: Path) -> SqliteConnection:
    """The connection that writes. The file must be there; each commit is on the disk when it returns."""
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute("PRAGMA secure_delete=ON").fetchone()  # what an approval kept must not stay in free pages
    except BaseException:
        connection.close()
        raise
    return connection


def empty_log(connection: SqliteConnection) -> bool:
    """Move the write-ahead log into the file and empty it, when no reader is in its way: whether that was done.

    What was overwritten or deleted stands in the log until then.
    """
    connection.execute("PRAGMA busy_timeout=0").fetchone()
    try:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & PRIMARY_CODE not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").fetchone()
    return not busy


def connect_reader(path: Path) -> SqliteConnection:
    """A connection that reads, whatever the writer does meanwhile."""
    return _connect(path, "mode=ro")


def connect_evidence(path: Path) -> SqliteConnection:
    """A connection to a file as it was found, perhaps damaged, perhaps where nothing may be written.

    Text that is not UTF-8 comes as bytes instead of an error. What is damaged shows when it is read.
    """
    wal = path.with_name(path.name + "-wal")
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & PRIMARY_CODE not in DAMAGE_CODES:
            connection.close()
            if wal.exists() and wal.stat().st_size:
                raise
            connection = _connect(path, "immutable=1")  # a read-only folder, and no log that would be left out
    connection.text_factory = _text
    return connection


def connect_untouched(path: Path) -> SqliteConnection:
    """A connection to look at a file and leave no file beside it: for one that nobody has open, it makes no log."""
    if path.with_name(path.name + "-wal").exists():
        return connect_evidence(path)
    return _connect(path, "immutable=1")


def _text(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def create(path: Path) -> None:
    """An empty file for the database, readable by its owner alone, when there is none."""
    if not path.exists():  # a touch would look like a write by another program
        path.touch(mode=0o600, exist_ok=True)


def require_room(folder: Path) -> None:
    """Raise OSError when there is no room beside the database for what a commit would write."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _connect(path: Path, mode: str) -> SqliteConnection:
    """Transactions are begun and ended by statements; the thread that uses it is the owner's care."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1_000,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )
