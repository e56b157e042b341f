"""The ledger in one SQLite file: one thread writes, others read."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final, Self, TypeVar

from placet.kernel.errors import ConfigurationError, LedgerUnavailableError
from placet.signing.keys import PublicKeys
from placet.storage.connections.engines import sqlite_url
from placet.storage.connections.file_guard import FilesLostError
from placet.storage.connections.file_lock import WriterLock
from placet.storage.connections.sqlite import SQL, connect_evidence, connect_reader, create
from placet.storage.connections.write_turns import ALONE, Sharing
from placet.storage.ledger import ThreadedLedger, log_error
from placet.storage.migrate import prepare
from placet.storage.sql.reader import Reader
from placet.storage.sql.transaction import ChainMovedError
from placet.storage.sqlite.offline import verify_connection
from placet.storage.sqlite.writer import SqliteWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.audit.records import VerifyReport
    from placet.kernel.clock import Clock
    from placet.kernel.state import ReadSet, Snapshot
    from placet.signing.keys import SigningKey
    from placet.storage.connections.sqlite import SqliteConnection

Result = TypeVar("Result")
READ_THREADS: Final = 2
"""Concurrent queries. Verification uses its own thread."""


class SqliteLedger(ThreadedLedger):
    """A `placet.audit.ports.Ledger`. Create it with `open`; it belongs to one event loop; call `close` at the end."""

    def __init__(
        self,
        path: Path,
        lock: WriterLock,
        writer: SqliteWriter,
        keys: PublicKeys,
        on_error: Callable[[BaseException], None],
    ) -> None:
        super().__init__(writer, READ_THREADS, on_error)
        self._path = path
        self._files = writer
        self._cache = writer.state_cache
        writer.log_mover.on_error = on_error
        self._lock = lock
        self._keys = keys
        self._open_readers: set[SqliteConnection] = set()
        self._idle_readers: list[SqliteConnection] = []

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writer: str,
        signing_key: SigningKey,
        clock: Clock,
        keys: PublicKeys | None = None,
        on_error: Callable[[BaseException], None] = log_error,
        sharing: Sharing = ALONE,
    ) -> Self:
        """Open the database for writing. Creates it when there is none.

        `writer` names this server's chain; `keys` are other public keys that checkpoints in it may be signed with.
        `on_error` receives every later failure, in any thread. `sharing` is how the processes of the server share the
        file.

        Raises ConfigurationError when another process writes to the database, when its schema is not this version's,
        when another key signed its checkpoints, or when it cannot be written.
        """
        path = path.absolute()
        inherited = sharing.inherited_lock
        lock = WriterLock.inherited(path, inherited) if inherited else WriterLock.take(path)
        try:
            create(path)
            prepare(sqlite_url(path))
            chain = SqliteWriter(path, writer, signing_key, clock, shared=sharing.shared)
            chain.open()
        except (sqlite3.Error, OSError) as error:
            lock.release()
            raise ConfigurationError(
                f"{path}: cannot be opened for writing ({error}); see that its folder is writable and "
                "has room, and run `placet audit verify` if it may be damaged"
            ) from error
        except (ChainMovedError, ValueError) as error:
            lock.release()
            raise ConfigurationError(
                f"{path}: was changed by other hands ({error}); run `placet audit verify`, keep it as "
                "evidence, and restore a backup; or move it aside and run `placet db new-trail`"
            ) from error
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, chain, (keys or PublicKeys.of()).with_key(signing_key.public), on_error)

    @property
    def lock_descriptors(self) -> tuple[int, ...]:
        """The open files that hold the lock, for child processes that write to the same file."""
        return self._lock.descriptors

    async def load(self, read_set: ReadSet) -> Snapshot:
        """Return the requested state as of one moment: from memory if this writer knows all of it.

        Otherwise all of it is read from the database, which may have later commits than memory. So it is when other
        processes write to the database.
        """
        if self._files.shared or self._files.lost or self._closed:
            return await super().load(read_set)
        found = self._cache.find(read_set)
        if not found.missing.rows and not found.missing.counters:
            return found.snapshot
        read = await super().load(read_set)
        self._cache.remember(found, read)
        return read

    def _read(self, work: Callable[[Reader], Result]) -> Result:
        """Run the work on an idle connection, if there is one. All that it reads is of one moment.

        A connection that failed is not used again. After a file was lost nothing is read, because the path may name
        another database now.
        """
        if self._files.lost:
            raise FilesLostError(self._files.lost)
        connection = self._idle_reader() or self._new_reader(connect_reader)
        try:
            with connection.one_moment():
                result = work(Reader(connection, SQL))
        except sqlite3.Error:
            self._forget(connection)
            raise
        except BaseException:
            self._idle_readers.append(connection)
            raise
        self._idle_readers.append(connection)
        return result

    def _verify(self, pace: Callable[[], None]) -> VerifyReport:
        connection = self._new_reader(connect_evidence)
        try:
            return verify_connection(connection, self._keys, pace=pace)
        finally:
            self._forget(connection)

    def _idle_reader(self) -> SqliteConnection | None:
        """Take an open connection that no thread uses; None when there is none."""
        try:
            return self._idle_readers.pop()  # no check before it: another thread may take the last one in between
        except IndexError:
            return None

    def _new_reader(self, connect: Callable[[Path], SqliteConnection]) -> SqliteConnection:
        connection = connect(self._path)
        self._open_readers.add(connection)
        if self._closed:  # opened after `close` interrupted the other connections
            raise LedgerUnavailableError("the ledger is closed")
        return connection

    def _forget(self, connection: SqliteConnection) -> None:
        self._open_readers.discard(connection)
        connection.close()

    def _end_reading(self) -> None:
        for connection in list(self._open_readers):
            with contextlib.suppress(sqlite3.ProgrammingError):  # its thread has closed it
                connection.interrupt()

    def _release(self) -> None:
        for connection in self._open_readers:
            connection.close()
        self._lock.release()
