"""The one writer of an SQLite database. Lives in one thread; after any failure it begins anew from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from placet.core.errors import SetupError
from placet.store.sqlite_files import SQL, connect_writer
from placet.store.state import ChainState
from placet.store.transaction import Transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from placet.core.ports import Clock
    from placet.core.records import Commitment, CommitResult
    from placet.store.keys import SigningKey

Result = TypeVar("Result")


class SqliteWriter:
    """Commits. Every method raises what the driver or the file system raises, and nothing was written then."""

    def __init__(self, path: Path, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        self._path = path
        self._writer = writer
        self._signing_key = signing_key
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._state = ChainState(writer)

    @property
    def records_since_checkpoint(self) -> int:
        """Records that no checkpoint covers yet."""
        state = self._state
        return state.head.sequence - state.checkpoint_sequence

    def open(self) -> None:
        """Connect, and find the end of the chain. SetupError when another key signed it."""
        self._transact(lambda _, state: (None, state))
        newest = self._transact(lambda transaction, state: (transaction.newest_key_id(self._writer), state))
        if newest and newest != self._signing_key.key_id:
            self.close()
            raise SetupError(
                f"{self._path}: its checkpoints are signed with the key {newest}, this server has "
                f"{self._signing_key.key_id}; restore that key, or move the database aside to begin a new trail"
            )

    def commit(self, commitments: Sequence[Commitment]) -> list[CommitResult]:
        """All in one transaction, durable when it returns."""
        return self._transact(lambda transaction, state: transaction.commit(state, commitments, self._clock.wall_us))

    def checkpoint(self) -> None:
        """Sign what no checkpoint covers yet."""
        if self._connection is None or self.records_since_checkpoint:
            self._transact(self._checkpoint)

    def close(self) -> None:
        """Give the file back; the next commit would open it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _checkpoint(self, transaction: Transaction, state: ChainState) -> tuple[None, ChainState]:
        due = state.head.sequence > state.checkpoint_sequence
        return None, transaction.checkpoint(state, self._clock.wall_us()) if due else state

    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction; the state moves on only when it was committed."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            result, state = work(Transaction(connection, SQL, self._signing_key), self._state)
            connection.execute("COMMIT")
        except BaseException:
            self.close()  # which rolls back
            raise
        self._state = state
        return result

    def _connected(self) -> sqlite3.Connection:
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
