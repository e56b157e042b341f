"""Opens SQLite database files: for the writer, for readers, and for inspecting a file that no server uses."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects import sqlite

from placet.storage.sql.statements.bulk import BULK_ROWS_MAX, bulk_sizes, padded_size
from placet.storage.sql.statements.dialect import Statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from placet.storage.sql.statements.bulk import Bulk

SQL: Final = Statements(sqlite.dialect(paramstyle="qmark"))
BUSY_TIMEOUT_MS: Final = 1_000
"""How long another process (a backup, a shell) may hold the database before a commit fails."""
DAMAGE_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Error codes of a damaged file."""
PRIMARY_CODE: Final = 0xFF
"""Mask of the primary code in an extended error code."""
PROBE_BYTES: Final = 256 << 10
"""Free space that a probe requires: more than a batch of ordinary decisions adds to the log."""
WAL_BYTES_KEPT: Final = 8 << 20
"""Length to which SQLite truncates the write-ahead log when it restarts it. Above it the log is moved into the database
at once. A log that is overwritten syncs faster than one that grows."""
CACHE_KIB: Final = 16_384
"""The writer's page cache: enough for the ends of all indexes, and more."""
STATEMENTS_HELD: Final = 512
"""Compiled statements that a connection keeps: all that a commit uses, in eight sizes."""


class SqliteConnection(sqlite3.Connection):
    """A `placet.storage.sql.driver.Connection`."""

    def data_version(self) -> int:
        """Return a number that changes when another connection has written, as of the transaction's begin."""
        return int(self.execute("PRAGMA data_version").fetchone()[0])

    def write_rows(self, statement: Bulk, parameters: Sequence[Any], /) -> None:
        """Run a statement for all rows of parameters: once for each power of two in their number."""
        start = 0
        for size in bulk_sizes(len(parameters) // statement.width):
            end = start + size * statement.width
            self.execute(statement.text(size), parameters[start:end])
            start = end

    def look_up(self, statement: Bulk, keys: Sequence[Sequence[Any]], /) -> list[Any]:
        """Return the row or None that is found for each of the distinct keys, all of one moment."""
        if self.in_transaction or len(keys) <= BULK_ROWS_MAX:
            return self._looked_up(statement, keys)
        with self.one_moment():
            return self._looked_up(statement, keys)

    @contextlib.contextmanager
    def one_moment(self) -> Iterator[None]:
        """Let everything that is read inside be of one moment. Not for use in a transaction."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self.in_transaction:  # SQLite ends it after errors such as those of the disk
                self.execute("COMMIT")

    def _looked_up(self, statement: Bulk, keys: Sequence[Sequence[Any]]) -> list[Any]:
        found: list[Any] = [None] * len(keys)
        for start in range(0, len(keys), BULK_ROWS_MAX):
            chunk = keys[start : start + BULK_ROWS_MAX]
            size = padded_size(len(chunk))
            padding = (None,) * (statement.width * (size - len(chunk)))  # equal to nothing
            for number, *columns in self.execute(statement.text(size), [*chain.from_iterable(chunk), *padding]):
                found[start + number] = columns
        return found

    def fetch_each(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[Any]:
        """Return the first row or None for each of the parameters."""
        return [self.execute(sql, values).fetchone() for values in parameters]

    def fetch_lists(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[list[Any]]:
        """Return all rows for each of the parameters."""
        return [self.execute(sql, values).fetchall() for values in parameters]

    def together(self) -> AbstractContextManager[object]:
        """Do nothing: there are no round trips to save."""
        return contextlib.nullcontext()

    def stream(self, sql: str, parameters: Sequence[Any], /) -> Iterator[Any]:
        """Return an iterator over the rows."""
        return self.execute(sql, parameters)


def connect_writer(path: Path) -> SqliteConnection:
    """Open the connection for writing. The file must exist. A commit is on disk when it returns."""
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}").fetchone()
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchone()  # `placet.storage.sqlite.log_mover` does it
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute("PRAGMA secure_delete=ON").fetchone()  # an approval's data must not stay in free pages
    except BaseException:
        connection.close()
        raise
    return connection


def connect_log_mover(path: Path) -> SqliteConnection:
    """Open a connection for `move_log`. It syncs the database before the log is overwritten."""
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def move_log(connection: SqliteConnection) -> bool:
    """Move the log into the file, as far as readers allow. Return whether all of it is moved now.

    Does not wait for readers or writers.
    """
    _, log_pages, moved_pages = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(log_pages == moved_pages)


def empty_log(connection: SqliteConnection) -> bool:
    """Move the write-ahead log into the file and empty it. Return False when a reader prevents that.

    Until then the log still holds overwritten and deleted data.
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
    """Open a connection for reading, beside the writer."""
    return _connect(path, "mode=ro")


def connect_evidence(path: Path) -> SqliteConnection:
    """Open a file as it is: perhaps damaged, perhaps where nothing may be written.

    Text that is not UTF-8 is returned as bytes instead of an error. Damage shows when it is read.
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
            connection = _connect(path, "immutable=1")  # a read-only folder, and no log that would be ignored
    connection.text_factory = _text
    return connection


def connect_untouched(path: Path) -> SqliteConnection:
    """Open a file without creating files beside it: for a file that no process has open, it makes no log."""
    if path.with_name(path.name + "-wal").exists():
        return connect_evidence(path)
    return _connect(path, "immutable=1")


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def create(path: Path) -> None:
    """Create an empty database file, readable by its owner only, when there is none."""
    if not path.exists():  # touching it would look like a write by another program
        path.touch(mode=0o600, exist_ok=True)


def require_room(folder: Path) -> None:
    """Raise OSError when there is no room beside the database for what a commit would write."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _connect(path: Path, mode: str) -> SqliteConnection:
    """Connect without implicit transactions. The owner ensures that only one thread uses the connection at a time."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1_000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_HELD,
        factory=SqliteConnection,
    )
