"""The writer of one chain in a PostgreSQL database, beside the writers of other replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg import errors

from placet.kernel.limits import STORE_TRIES_MAX
from placet.storage.connections.postgres import SQL, connect, masked, require_durable
from placet.storage.connections.postgres_locks import end_hung, hold_writer
from placet.storage.migrate import require_revision, stored_revision
from placet.storage.sql.transaction import Transaction
from placet.storage.writer import ChainWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.audit.chain import Head
    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.clock import Clock
    from placet.signing.keys import SigningKey
    from placet.storage.connections.postgres import PostgresConnection
    from placet.storage.sql.commit_plan import ChainState

Result = TypeVar("Result")
CHANNEL: Final = "placet_events"
"""The NOTIFY channel by which replicas learn that there is something new to read."""
NOTIFY: Final = "SELECT pg_notify(%s, %s)"
USE_ROOM: Final = (
    "SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)",
    "SELECT count(*) FROM generate_series(1, 20000)",
)
"""Uses disk room beside the tables, which a commit may need but rewriting a row does not. The second statement writes
a temporary file of 272 KiB, more than a batch of ordinary decisions adds. The server removes the file."""
RACES: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
"""Errors after which the work is repeated: another replica committed first, so the result may differ."""


class LostConnectionError(Exception):
    """The connection was lost, and nothing of the transaction is stored."""


class PostgresWriter(ChainWriter):
    """Writes one chain. Reopens a lost connection, and checks in the database whether a commit in doubt is stored."""

    def __init__(self, url: str, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        super().__init__(writer, signing_key, clock)
        self._url = url
        self._connection: PostgresConnection | None = None

    def monotonic(self) -> float:
        """Return the monotonic clock, for deadlines."""
        return self._clock.monotonic()

    @property
    def where(self) -> str:
        """The database, without the password."""
        return masked(self._url)

    @property
    def connected(self) -> bool:
        """Whether there is a session."""
        return self._connection is not None

    def close(self) -> None:
        """End the session, and with it its locks."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def commit(self, commitments: Sequence[Commitment]) -> list[CommitResult]:
        """Commit all in one transaction, durable when it returns.

        Then notify other replicas if a record can be watched for.
        """
        results = super().commit(commitments)
        if self._connection is not None and any(commitment.subject for commitment in commitments):
            try:  # not in the transaction: a NOTIFY in it would make all replicas' commits wait for each other
                self._connection.execute(NOTIFY, (CHANNEL, self._writer))
            except psycopg.Error:  # other replicas also look periodically
                self.close()
        return results

    def _probe(self, transaction: Transaction, state: ChainState) -> tuple[None, ChainState]:
        for statement in USE_ROOM:
            transaction.connection.execute(statement)
        return super()._probe(transaction, state)

    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction. Repeat it after a race with another replica or a lost connection.

        If a hung replica holds a lock, its session is ended first.
        """
        for _ in range(STORE_TRIES_MAX - 1):
            try:
                return self._try(work)
            except (*RACES, LostConnectionError):
                continue
            except errors.LockNotAvailable:
                if not end_hung(self._connected()):
                    raise
        try:
            return self._try(work)
        except RACES:  # losing every race is implausible: give up the session, because something else is wrong
            self.close()
            raise

    def _try(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        connection = self._connected()
        try:
            connection.execute("BEGIN")
            result, state = work(Transaction(connection, SQL, self._signing_key), self._state)
        except BaseException as error:
            lost = not connection.usable
            self._undo(connection, error)
            if lost and isinstance(error, psycopg.Error):
                raise LostConnectionError(str(error)) from error
            raise
        self._commit(connection, state)
        self._state = state
        return result

    def _commit(self, connection: PostgresConnection, state: ChainState) -> None:
        """End the transaction. If the answer is lost, look in the stored chain whether the commit is stored.

        Raises LostConnectionError when it is not, or when no record was written, so that the chain cannot show it. In
        the latter case a repetition either has the same effect or finds its versions changed.
        """
        before = _end(self._state)
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            lost = not connection.usable
            self._undo(connection, error)
            if not lost:
                raise
            self._connected()  # waits for the end of the lost session, and loads the stored end of the chain
            if _end(state) == before or _end(state) != _end(self._state):
                raise LostConnectionError(str(error)) from error

    def _undo(self, connection: PostgresConnection, error: BaseException) -> None:
        """Leave the transaction: with ROLLBACK after a race, otherwise by ending the session."""
        if isinstance(error, RACES):
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                self.close()
        else:
            self.close()

    def _connected(self) -> PostgresConnection:
        """Return the session. A new session locks the writer's name and continues from what is stored.

        Raises ConfigurationError when the schema was upgraded since the last session, to that of a newer version.
        """
        if self._connection is not None and self._connection.usable:
            return self._connection
        self.close()
        connection = connect(self._url, self._writer, writes=True)
        try:
            require_durable(connection, self.where)
            hold_writer(connection, self._writer, self.where)  # from now on the schema is not upgraded
            require_revision(stored_revision(connection), self.where)
            connection.execute("BEGIN")
            self._state = self._load(Transaction(connection, SQL, self._signing_key))
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _end(state: ChainState) -> tuple[Head, int]:
    return (state.head, state.checkpoint_sequence)
