"""The ledger in one SQLite file: one thread writes, others read beside it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self, TypeVar

from placet.core.errors import InvalidRequestError, LedgerUnavailableError, SetupError
from placet.core.record_codec import RecordDamagedError
from placet.store.lock import WriterLock
from placet.store.migrate import prepare, sqlite_url
from placet.store.offline import verify_connection
from placet.store.reading import DecisionReader
from placet.store.sqlite_files import SQL, connect_evidence, connect_reader, create
from placet.store.sqlite_writer import SqliteWriter
from placet.store.transaction import ChainMovedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from placet.core.ports import Clock
    from placet.core.records import (
        Commitment,
        CommitResult,
        DecisionPage,
        DecisionQuery,
        RecordedDecision,
        VerifyReport,
    )
    from placet.store.keys import SigningKey

Result = TypeVar("Result")
READ_THREADS: Final = 2
"""One is always left for queries while the trail is verified."""
_UNAVAILABLE: Final = "the decision could not be recorded or read; try again"


def log_fault(fault: BaseException) -> None:
    """Tell the log why the ledger failed; callers are never told."""
    logging.getLogger("placet.store").error("the ledger failed", exc_info=fault)


class SqliteLedger:
    """A `placet.core.ports.Ledger`. Made by `open`; belongs to one event loop; `close` it."""

    def __init__(
        self,
        path: Path,
        lock: WriterLock,
        writer: SqliteWriter,
        signing_key: SigningKey,
        on_fault: Callable[[BaseException], None],
    ) -> None:
        self._path = path
        self._lock = lock
        self._writer = writer
        self._key = signing_key.public
        self._on_fault = on_fault
        self._writing = ThreadPoolExecutor(1, "placet-ledger-write")
        self._reading = ThreadPoolExecutor(READ_THREADS, "placet-ledger-read")
        self._open_readers: set[sqlite3.Connection] = set()
        self._idle_readers: list[sqlite3.Connection] = []
        self._verifying = asyncio.Lock()
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writer: str,
        signing_key: SigningKey,
        clock: Clock,
        on_fault: Callable[[BaseException], None] = log_fault,
    ) -> Self:
        """Open the database for writing, made when there is none. `writer` names this server's chain.

        SetupError when another process writes to it, when its schema is not this version's, when another key signed
        its checkpoints, or when it cannot be written. `on_fault` is told, in any thread, of every later failure.
        """
        path = path.absolute()
        lock = WriterLock.take(path)
        try:
            create(path)
            prepare(sqlite_url(path))
            chain = SqliteWriter(path, writer, signing_key, clock)
            chain.open()
        except (sqlite3.Error, OSError) as error:
            lock.release()
            raise SetupError(
                f"{path}: cannot be opened for writing ({error}); see that its folder is writable and "
                "has room, and run `placet audit verify` if it may be damaged"
            ) from error
        except (ChainMovedError, ValueError) as error:
            lock.release()
            raise SetupError(
                f"{path}: was changed by other hands ({error}); run `placet audit verify`, keep it as "
                "evidence, and restore a backup or begin a new trail"
            ) from error
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, chain, signing_key, on_fault)

    @property
    def records_since_checkpoint(self) -> int:
        """Records that no checkpoint covers yet."""
        return self._writer.records_since_checkpoint

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        """Make all of them durable in one transaction, in order, or none. One result for each.

        LedgerUnavailableError when they could not be made durable; the next call tries again from what is stored.
        When the caller is cancelled the transaction is finished all the same.
        """
        if not commitments:
            return ()
        return await self._run(self._writing, lambda: self._writer.commit(commitments))

    async def checkpoint(self) -> None:
        """Sign a checkpoint over what none covers yet. LedgerUnavailableError."""
        await self._run(self._writing, self._writer.checkpoint)

    async def query_decisions(self, query: DecisionQuery) -> DecisionPage:
        """A page of decisions, newest first. InvalidRequestError for a wrong page_token, LedgerUnavailableError."""
        return await self._run(self._reading, lambda: self._read(lambda reader: reader.page(query)))

    async def get_decision(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """One decision of the tenant. LedgerUnavailableError."""
        return await self._run(self._reading, lambda: self._read(lambda reader: reader.get(tenant, decision_id)))

    async def verify(self) -> VerifyReport:
        """Check every chain and checkpoint as they are now, while decisions go on. LedgerUnavailableError."""
        async with self._verifying:
            return await self._run(self._reading, self._verify)

    async def close(self) -> None:
        """Finish what is being written, stop what is being read, give the database back. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._writing, self._writer.close)
        self._writing.shutdown()
        for connection in list(self._open_readers):
            connection.interrupt()
        self._reading.shutdown(cancel_futures=True)
        for connection in self._open_readers:
            connection.close()
        self._lock.release()

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        if self._closed:
            raise LedgerUnavailableError("the ledger is closed")
        running = asyncio.get_running_loop().run_in_executor(threads, self._guarded, work)
        try:
            return await asyncio.shield(running)  # a caller that gives up must not take a commit out of the queue
        except asyncio.CancelledError:
            if running.cancelled():
                raise LedgerUnavailableError("the ledger is closed") from None
            raise

    def _guarded(self, work: Callable[[], Result]) -> Result:
        """Whatever fails is told to `on_fault`; the caller learns only that it failed."""
        try:
            return work()
        except InvalidRequestError:
            raise
        except RecordDamagedError as fault:
            self._on_fault(fault)
            raise LedgerUnavailableError("a stored record is damaged; run `placet audit verify`") from fault
        except Exception as fault:
            self._on_fault(fault)
            raise LedgerUnavailableError(_UNAVAILABLE) from fault

    def _read(self, work: Callable[[DecisionReader], Result]) -> Result:
        """With a connection that is open already, if there is one. One that failed is not used again."""
        connection = self._idle_readers.pop() if self._idle_readers else self._new_reader(connect_reader)
        try:
            result = work(DecisionReader(connection, SQL))
        except sqlite3.Error:
            self._forget(connection)
            raise
        except BaseException:
            self._idle_readers.append(connection)
            raise
        self._idle_readers.append(connection)
        return result

    def _verify(self) -> VerifyReport:
        connection = self._new_reader(connect_evidence)
        try:
            return verify_connection(connection, self._key)
        finally:
            self._forget(connection)

    def _new_reader(self, connect: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
        connection = connect(self._path)
        self._open_readers.add(connection)
        if self._closed:  # after `close` interrupted those that it knew of
            raise LedgerUnavailableError("the ledger is closed")
        return connection

    def _forget(self, connection: sqlite3.Connection) -> None:
        self._open_readers.discard(connection)
        connection.close()
