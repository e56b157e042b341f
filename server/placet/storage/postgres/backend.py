"""The ledger in a PostgreSQL database that several replicas share. Each replica writes its own chain."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final, Self, TypeVar

import psycopg

from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.signing.keys import PublicKeys
from placet.storage.connections.postgres import SQL, ask_time, connect, masked
from placet.storage.ledger import ThreadedLedger, log_error
from placet.storage.migrate import prepare
from placet.storage.postgres.listen import Listener
from placet.storage.postgres.offline import evidence, verify_connection
from placet.storage.postgres.writer import PostgresWriter
from placet.storage.sql.reader import Reader
from placet.storage.sql.transaction import ChainMovedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.audit.records import VerifyReport
    from placet.kernel.clock import Clock, ServerTime
    from placet.signing.keys import SigningKey
    from placet.storage.connections.postgres import PostgresConnection

Result = TypeVar("Result")
READ_THREADS: Final = 4
"""Concurrent queries, each on its own session. Verification uses one more session."""


class PostgresLedger(ThreadedLedger):
    """A `placet.audit.ports.Ledger`. Create it with `open`; it belongs to one event loop; call `close` at the end."""

    def __init__(
        self, url: str, writer: PostgresWriter, name: str, keys: PublicKeys, on_error: Callable[[BaseException], None]
    ) -> None:
        super().__init__(writer, READ_THREADS, on_error)
        self._url = url
        self._monotonic = writer.monotonic
        self._name = name
        self._keys = keys
        self._listener: Listener | None = None
        self._guard = threading.Lock()
        self._open_readers: set[PostgresConnection] = set()
        self._idle_readers: list[PostgresConnection] = []

    @classmethod
    def open(
        cls,
        url: str,
        *,
        writer: str,
        signing_key: SigningKey,
        clock: Clock,
        keys: PublicKeys | None = None,
        on_error: Callable[[BaseException], None] = log_error,
    ) -> Self:
        """Open the database at a ``postgresql://`` URL. Creates the schema when the database is empty.

        `writer` names this server's chain; `keys` are the public keys of other replicas. `on_error` receives every
        later failure, in any thread.

        Raises ConfigurationError when another process writes the chain, when the schema is not this version's, when
        another key signed the chain's checkpoints, when the database cannot be written, or when its commits would not
        be durable.
        """
        where = masked(url)
        chain = PostgresWriter(url, writer, signing_key, clock)
        try:
            prepare(url)
            chain.open()
        except psycopg.Error as error:
            reason = "; ".join(str(error).splitlines())
            raise ConfigurationError(
                f"{where}: cannot be used ({reason}); see that PostgreSQL runs there, and that database_url is right"
            ) from error
        except (ChainMovedError, ValueError) as error:
            raise ConfigurationError(
                f"{where}: was changed by other hands ({error}); run `placet audit verify`, keep it as "
                "evidence, and restore a backup; or name another database and run `placet db new-trail`"
            ) from error
        return cls(url, chain, writer, (keys or PublicKeys.of()).with_key(signing_key.public), on_error)

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call `wake` in the event loop soon after any replica stored a record with a subject."""
        super().subscribe(wake)
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = Listener(self._url, self._name, lambda: loop.call_soon_threadsafe(self._wake))
            self._listener.start()

    async def server_time(self) -> ServerTime | None:
        """Return the time of the clock that all replicas share."""
        return await self._query(lambda reader: ask_time(reader.connection, self._monotonic))

    def _read(self, work: Callable[[Reader], Result]) -> Result:
        """Run the work on an idle session, if there is one. If that session was lost, run it again on a new one."""
        with self._guard:
            connection = self._idle_readers.pop() if self._idle_readers else None
        if connection is not None:
            try:
                return self._read_on(connection, work)
            except psycopg.Error:
                if connection.usable:
                    raise
                self._forget_idle()
        return self._read_on(self._new_reader(), work)

    def _read_on(self, connection: PostgresConnection, work: Callable[[Reader], Result]) -> Result:
        try:
            return work(Reader(connection, SQL))
        except psycopg.Error:
            if not connection.usable:
                self._forget(connection)
            raise
        finally:
            if connection.usable:
                with self._guard:
                    self._idle_readers.append(connection)

    def _verify(self, pace: Callable[[], None]) -> VerifyReport:
        connection = self._new_reader(evidence)
        try:
            return verify_connection(connection, self._keys, pace=pace)
        finally:
            self._forget(connection)

    def _new_reader(self, make: Callable[[str, str], PostgresConnection] = connect) -> PostgresConnection:
        connection = make(self._url, self._name)
        with self._guard:
            self._open_readers.add(connection)
        if self._closed:  # opened after `close` interrupted the other sessions
            raise LedgerUnavailableError("the ledger is closed")
        return connection

    def _forget_idle(self) -> None:
        """Close all idle sessions: after a server restart or a network failure they are lost as well."""
        with self._guard:
            idle, self._idle_readers = self._idle_readers, []
        for connection in idle:
            self._forget(connection)

    def _forget(self, connection: PostgresConnection) -> None:
        with self._guard:
            self._open_readers.discard(connection)
        connection.close()

    def _end_reading(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        with self._guard:
            reading = self._open_readers - set(self._idle_readers)
        for connection in reading:
            connection.interrupt()

    def _release(self) -> None:
        for connection in self._open_readers:
            connection.close()
