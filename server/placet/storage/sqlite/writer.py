"""The writer of an SQLite database."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from placet.storage.connections.file_guard import DatabaseAwayError, FileGuard, FilesLostError
from placet.storage.connections.sqlite import SQL, WAL_BYTES_KEPT, connect_writer, empty_log, require_room
from placet.storage.connections.write_turns import WriteTurns, write_turn
from placet.storage.sql.transaction import Transaction
from placet.storage.sqlite.log_mover import LogMover
from placet.storage.state_cache import StateCache
from placet.storage.writer import ChainWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.kernel.clock import Clock
    from placet.signing.keys import SigningKey
    from placet.storage.connections.sqlite import SqliteConnection
    from placet.storage.sql.commit_plan import ChainState

Result = TypeVar("Result")


class SqliteWriter(ChainWriter):
    """Writes the chain. Every method raises what the driver or the file system raises; then nothing was written."""

    def __init__(self, path: Path, writer: str, signing_key: SigningKey, clock: Clock, *, shared: bool = False) -> None:
        """`shared` is whether other processes of the same server write to the file."""
        super().__init__(writer, signing_key, clock)
        self._path = path
        self._connection: SqliteConnection | None = None
        self._files = FileGuard(path, shared=shared)
        self._turn = write_turn(path, shared=shared)
        self.log_mover = LogMover(path, self._files, self._turn if not shared else write_turn(path, shared=True))
        self.shared = shared
        self.state_cache = StateCache()
        """What this writer committed last. When the file is shared, only a transaction knows whether it is current."""
        self._log_empty = False

    @property
    def where(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def connected(self) -> bool:
        """Whether the file is open."""
        return self._connection is not None

    @property
    def lost(self) -> str:
        """Which database file was removed, replaced or truncated, and what to do; empty when none was."""
        return self._files.lost

    def close(self) -> None:
        """Close the file. The next commit opens it again."""
        self.state_cache.drop()
        self.log_mover.close()
        if self._connection is not None:
            with contextlib.suppress(FilesLostError, DatabaseAwayError):  # the next transaction raises it
                self._files.require(after_write=True)
            self._connection.close()
            self._connection = None
            self._files.closed()

    def finish(self) -> None:
        """Move the write-ahead log into the file, so that a copy of only the file is complete, and close it."""
        self.log_mover.finish()
        if self._connection is not None and not self.lost:
            with contextlib.suppress(FilesLostError, DatabaseAwayError):  # readers report it
                self._files.require(after_write=True)
            with contextlib.suppress(sqlite3.Error):  # the log stays beside the file, so nothing is lost
                self._empty_log(self._connection)
        self.close()
        if isinstance(self._turn, WriteTurns):
            self._turn.close()

    def checkpoint(self) -> None:
        """Sign a checkpoint, and empty the write-ahead log.

        Until then the log holds overwritten data, such as exact parameters.
        """
        super().checkpoint()
        if self._connection is not None and (self.shared or not self._log_empty):
            with self._turn, self.log_mover.moving:
                self._files.require()
                self._log_empty = self._empty_log(self._connection)

    def probe(self) -> None:
        """Raise what a commit would raise. Also checks for free disk space, because rewriting a row needs less."""
        require_room(self._path.parent)
        super().probe()

    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction. `_state` changes only when it was committed to the files in place.

        Raises FilesLostError when one of them was removed, replaced or truncated. Then it is unknown whether this
        transaction is stored; earlier ones are saved if possible.
        """
        with self._turn:
            return self._transact_in_turn(work)

    def _transact_in_turn(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        try:
            self._files.require()
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            self.state_cache.begin(connection.data_version())
            result, state = work(Transaction(connection, SQL, self._signing_key, self.state_cache), self._state)
            connection.execute("COMMIT")
            self._files.require(after_write=True)
            self._log_empty = False
        except FilesLostError:
            self.state_cache.drop()
            self._save()
            raise
        except DatabaseAwayError:
            self.state_cache.drop()
            raise
        except BaseException:
            self.close()  # which rolls back
            raise
        self._state = state
        self.state_cache.publish()
        self.log_mover.committed(self._files.log_bytes)
        return result

    def _save(self) -> None:
        """Move a lost log's content into the database, while the connection still holds that log."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if self._files.database_is_in_place:
                    with self.log_mover.moving:
                        empty_log(self._connection)
            self.close()

    def _empty_log(self, connection: SqliteConnection) -> bool:
        with self._files.moving_log():
            emptied = empty_log(connection)
        if not self.lost:
            self._files.committed()  # the log is shorter now because it was emptied here
        return emptied

    def _connected(self) -> SqliteConnection:
        """Return the connection; after a failure a new one to the same files."""
        if self._connection is None:
            self._connection = connect_writer(self._path)
            self._connection.execute("BEGIN IMMEDIATE")
            self._files.opened(WAL_BYTES_KEPT)
            self._state = self._load(Transaction(self._connection, SQL, self._signing_key))
            self._connection.execute("COMMIT")
            self._files.committed()
        return self._connection
