"""The writer of one chain in a PostgreSQL database, beside those of other replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg import errors

from placet.kernel.limits import STORE_TRIES_MAX
from placet.storage.connections.postgres import SQL, connect, masked, require_durable
from placet.storage.connections.postgres_locks import end_hung, hold_writer
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
"""What replicas tell each other by NOTIFY: that there is something new to read."""
NOTIFY: Final = "SELECT pg_notify(%s, %s)"
USE_ROOM: Final = (
    "SELECT set_config('work_mem', '64kB', true), set_config('temp_tablespaces', '', true)",
    "SELECT count(*) FROM generate_series(1, 20000)",
)
"""What a commit may need and a row that is written again does not: room beside the tables. The second statement writes
a temporary file of 272 KiB there, more than a batch of ordinary decisions adds, and the server removes it."""
RACES: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
"""Another replica was quicker. Seen from what it stored, the work comes out otherwise."""


class LostConnectionError(Exception):
    """The connection was lost, and nothing of the transaction is stored."""


class PostgresWriter(ChainWriter):
    """Commits. A connection that was lost is opened anew; a commit in doubt is looked for in what is stored."""

    def __init__(self, url: str, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        super().__init__(writer, signing_key, clock)
        self._url = url
        self._connection: PostgresConnection | None = None

    def monotonic(self) -> float:
        """What deadlines go by."""
        return self._clock.monotonic()

    @property
    def where(self) -> str:
        """The database, without the password."""
        return masked(self._url)

    @property
    def connected(self) -> bool:
        """Whether the session is there."""
        return self._connection is not None

    def close(self) -> None:
        """End the session, and with it its locks."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def commit(self, commitments: Sequence[Commitment]) -> list[CommitResult]:
        """All in one transaction, durable when it returns. Then other replicas are told, if one may be watched for."""
        results = super().commit(commitments)
        if self._connection is not None and any(commitment.subject for commitment in commitments):
            try:  # not in the transaction: a NOTIFY in it would have all replicas' commits wait for each other
                self._connection.execute(NOTIFY, (CHANNEL, self._writer))
            except psycopg.Error:  # they look by themselves, too
                self.close()
        return results

    def _probe(self, transaction: Transaction, state: ChainState) -> tuple[None, ChainState]:
        for statement in USE_ROOM:
            transaction.connection.execute(statement)
        return super()._probe(transaction, state)

    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction; again when another replica was quicker or hung, or a connection was lost."""
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
        except RACES:  # nobody loses so often: something else is wrong, and is not built upon
            self.close()
            raise

    def _try(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        connection = self._connected()
        try:
            connection.execute("BEGIN")
            result, state = work(Transaction(connection, SQL, self._signing_key), self._state)
        except BaseException as fault:
            lost = not connection.usable
            self._undo(connection, fault)
            if lost and isinstance(fault, psycopg.Error):
                raise LostConnectionError(str(fault)) from fault
            raise
        self._commit(connection, state)
        self._state = state
        return result

    def _commit(self, connection: PostgresConnection, state: ChainState) -> None:
        """End the transaction. When the answer is lost, the chain tells whether it is stored.

        LostConnectionError when it is not, or the chain cannot tell since no record was written: then what is done
        again is either the same or finds its versions moved.
        """
        before = _end(self._state)
        try:
            connection.execute("COMMIT")
        except psycopg.Error as fault:
            lost = not connection.usable
            self._undo(connection, fault)
            if not lost:
                raise
            self._connected()  # waits for the end of the lost session, and loads the chain as it is stored
            if _end(state) == before or _end(state) != _end(self._state):
                raise LostConnectionError(str(fault)) from fault

    def _undo(self, connection: PostgresConnection, fault: BaseException) -> None:
        """Leave the transaction: by its statement after a race, else with the session."""
        if isinstance(fault, RACES):
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                self.close()
        else:
            self.close()

    def _connected(self) -> PostgresConnection:
        """The session; a new one holds the writer's name, and goes on from what is stored."""
        if self._connection is not None and self._connection.usable:
            return self._connection
        self.close()
        connection = connect(self._url, self._writer, writes=True)
        try:
            require_durable(connection, self.where)
            hold_writer(connection, self._writer, self.where)
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
