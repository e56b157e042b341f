"""The one writer of an SQLite database."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from placet.store.sqlite_files import SQL, connect_writer, empty_log
from placet.store.transaction import Transaction
from placet.store.writer import ChainWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.core.ports import Clock
    from placet.store.keys import SigningKey
    from placet.store.sqlite_files import SqliteConnection
    from placet.store.state import ChainState

Result = TypeVar("Result")


class SqliteWriter(ChainWriter):
    """Commits. Every method raises what the driver or the file system raises, and nothing was written then."""

    def __init__(self, path: Path, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        super().__init__(writer, signing_key, clock)
        self._path = path
        self._connection: SqliteConnection | None = None
        self._file: tuple[int, int] | None = None
        self._log_empty = False

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def connected(self) -> bool:
        """Whether the file is open."""
        return self._connection is not None

    def close(self) -> None:
        """Give the file back; the next commit would open it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def checkpoint(self) -> None:
        """Sign what no checkpoint covers yet, and empty the log of what was overwritten, such as exact parameters."""
        super().checkpoint()
        if self._connection is not None and not self._log_empty:
            self._log_empty = empty_log(self._connection)

    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction; the state moves on only when it was committed."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            result, state = work(Transaction(connection, SQL, self._signing_key), self._state)
            connection.execute("COMMIT")
            self._log_empty = False
        except BaseException:
            self.close()  # which rolls back
            raise
        self._state = state
        return result

    def _connected(self) -> SqliteConnection:
        """The connection; a file that was moved away or replaced is not written to any longer."""
        found = self._path.stat()
        file = (found.st_dev, found.st_ino)
        if self._connection is not None and file == self._file:
            return self._connection
        self.close()
        self._connection = connect_writer(self._path)
        self._file = file
        self._connection.execute("BEGIN IMMEDIATE")
        self._state = Transaction(self._connection, SQL, self._signing_key).load(self._writer)
        self._connection.execute("COMMIT")
        return self._connection
