"""The asyncio side of a ledger in a database: one thread writes, some read, and whatever fails is told once."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from placet.audit.decision_codec import RecordDamagedError
from placet.kernel.errors import InvalidRequestError, LedgerUnavailableError
from placet.storage.causes import RECORD_DAMAGED, known_cause
from placet.storage.pace import Pace
from placet.storage.shared_run import SharedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.audit.chain import Head
    from placet.audit.records import (
        Commitment,
        CommitResult,
        DecisionPage,
        DecisionQuery,
        RecordedDecision,
        VerifyReport,
    )
    from placet.kernel.clock import ServerTime
    from placet.kernel.state import (
        CounterRow,
        Cursor,
        Event,
        ReadSet,
        Row,
        RowPage,
        RowQuery,
        Snapshot,
        StateTable,
        WindowTotal,
    )
    from placet.signing.keys import Verifier
    from placet.storage.sql.readers import Reader
    from placet.storage.writer import ChainWriter

Result = TypeVar("Result")
Given = ParamSpec("Given")
_UNAVAILABLE: Final = "the decision could not be recorded or read; try again"


def log_fault(fault: BaseException) -> None:
    """Tell the log why the ledger failed; callers are never told."""
    logging.getLogger("placet.store").error("the ledger failed", exc_info=fault)


class ThreadedLedger(ABC):
    """A `placet.audit.ports.Ledger` over an engine that blocks. Belongs to one event loop; `close` it."""

    def __init__(self, writer: ChainWriter, read_threads: int, on_error: Callable[[BaseException], None]) -> None:
        self._writer = writer
        self._on_error = on_error
        self._writing = ThreadPoolExecutor(1, "placet-ledger-write")
        self._reading = ThreadPoolExecutor(read_threads, "placet-ledger-read")
        self._verifying = ThreadPoolExecutor(1, "placet-ledger-verify")
        self._verification = SharedRun(
            lambda: self._run(self._verifying, lambda: self._verify(Pace(self._require_open)))
        )
        self._closed = False
        self._wakes: list[Callable[[], None]] = []

    @abstractmethod
    def _read(self, work: Callable[[Reader], Result]) -> Result:
        """Run the work on a connection that reads, in whatever thread."""

    @abstractmethod
    def _verify(self, pace: Callable[[], None]) -> VerifyReport:
        """Check the trail in one snapshot; `pace` is called for each record."""

    @abstractmethod
    def _end_reading(self) -> None:
        """Make what is being read fail soon."""

    @abstractmethod
    def _release(self) -> None:
        """Give back all that is left when nothing is read or written any longer."""

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
        watched = any(commitment.subject for commitment in commitments)
        return await self._run(self._writing, lambda: self._writer.commit(commitments), self._wake if watched else None)

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call `wake`, in the event loop, soon after a record with a subject was stored; perhaps oftener."""
        self._wakes.append(wake)

    def on_recorded(self, recorded: Callable[[int], None]) -> None:
        """Call `recorded` with the time of what was stored or signed, once durable, in the thread that writes."""
        self._writer.on_recorded = recorded

    def pin(self, moved: Callable[[Head], None], signed: Callable[[bytes, bytes], None]) -> None:
        """Call `moved` where the chain ends after each commit, `signed` with body and signature of each checkpoint.

        Once they are durable, in the thread that writes. An OSError is told as a fault, and nothing else comes of it.
        """
        self._writer.on_moved = self._told(moved)
        self._writer.on_signed = self._told(signed)

    def _told(self, pin: Callable[Given, None]) -> Callable[Given, None]:
        def pin_or_tell(*given: Given.args, **named: Given.kwargs) -> None:
            try:
                pin(*given, **named)
            except OSError as fault:
                self._on_error(fault)

        return pin_or_tell

    async def check_newest(self, keys: Verifier) -> VerifyReport:
        """Check the newest records and checkpoint of the chain that is written. LedgerUnavailableError."""
        return await self._run(self._writing, lambda: self._writer.check_newest(keys))

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write rows without a record; which of them were still at their version. LedgerUnavailableError."""
        return await self._run(self._writing, lambda: self._writer.put_unaudited(rows))

    async def purge_idempotency_keys(self, before_us: int, limit: int) -> int:
        """Forget old idempotency keys, at most so many in one transaction; how many. LedgerUnavailableError."""
        return await self._run(self._writing, lambda: self._writer.purge_idempotency_keys(before_us, limit))

    async def load(self, wanted: ReadSet) -> Snapshot:
        """The state asked for. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.read(wanted))

    async def list_rows(self, query: RowQuery) -> RowPage:
        """A page of rows, newest first. InvalidRequestError for a wrong page_token, LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.page(query))

    async def tenants_with(self, table: StateTable, status: str) -> Sequence[str]:
        """Tenants that have a row with the status. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.tenants_with(table, status))

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        """Rows that are due. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.due(table, now_us, limit))

    async def count_due(self, table: StateTable) -> int:
        """How many rows are due at any time. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.count_due(table))

    async def top_counters(
        self, tenant: str, budget_id: str, unit: str, window_key: str, limit: int
    ) -> Sequence[CounterRow]:
        """The largest counters of a budget in one window. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.top_counters((tenant, budget_id, unit, window_key), limit))

    async def window_totals(self, tenant: str, budget_id: str, limit: int) -> Sequence[WindowTotal]:
        """Totals of a budget by unit and window. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.totals(tenant, budget_id, limit))

    async def budget_ids_with_usage(self, tenant: str, limit: int) -> Sequence[str]:
        """Ids of the budgets that anything was counted for. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.state.budget_ids_with_usage(tenant, limit))

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        """Records with a subject beyond the cursor. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.event_reader.events(after, limit))

    async def events_of(self, tenant: str, subject: str) -> Sequence[Event]:
        """All records about one subject. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.event_reader.events_of(tenant, subject))

    async def chain_heads(self) -> Cursor:
        """Where every chain ends. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.event_reader.chain_heads())

    async def newest_times(self) -> Mapping[str, int]:
        """When the newest record of every chain was made: writer -> microseconds. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.event_reader.newest_times())

    async def server_time(self) -> ServerTime | None:
        """What the clock of the database's server says; None when that is this machine's. LedgerUnavailableError."""
        return None

    async def agents(self, tenant: str, limit: int) -> Sequence[str]:
        """Agents that were ever decided for. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.event_reader.agents(tenant, limit))

    async def count_effects(self, tenant: str, tool: str, newest: int) -> Mapping[str, int]:
        """Effects decided for the tool. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.event_reader.count_effects(tenant, tool, newest))

    async def checkpoint(self) -> None:
        """Sign a checkpoint over what none covers yet. LedgerUnavailableError."""
        await self._run(self._writing, self._writer.checkpoint)

    async def probe(self) -> None:
        """LedgerUnavailableError when a commit would fail, as far as that can be told without one."""
        await self._run(self._writing, self._writer.probe)

    async def query_decisions(self, query: DecisionQuery) -> DecisionPage:
        """A page of decisions, newest first. InvalidRequestError for a wrong page_token, LedgerUnavailableError."""
        return await self._look(lambda reader: reader.decisions.page(query))

    async def get_decision(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """One decision of the tenant. LedgerUnavailableError."""
        return await self._look(lambda reader: reader.decisions.get(tenant, decision_id))

    async def verify(self) -> VerifyReport:
        """Check every chain and checkpoint as they are now or later, while decisions go on.

        One check runs at a time, on a thread and a connection of its own; those who ask meanwhile share the next one.
        OverloadedError when too many ask, LedgerUnavailableError.
        """
        return await self._verification.result()

    async def close(self) -> None:
        """Finish what is being written, stop what is being read, give the database back. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._writing, self._writer.finish)
        self._writing.shutdown()
        self._end_reading()
        self._reading.shutdown(cancel_futures=True)
        self._verifying.shutdown(cancel_futures=True)
        self._release()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    async def _look(self, work: Callable[[Reader], Result]) -> Result:
        return await self._run(self._reading, lambda: self._read(work))

    async def _run(
        self, threads: ThreadPoolExecutor, work: Callable[[], Result], ended: Callable[[], None] | None = None
    ) -> Result:
        self._require_open()
        running = asyncio.get_running_loop().run_in_executor(threads, self._guarded, work)
        if ended is not None:
            running.add_done_callback(lambda _: ended())
        try:
            return await asyncio.shield(running)  # a caller that gives up must not take a commit out of the queue
        except asyncio.CancelledError:
            if running.cancelled():
                raise LedgerUnavailableError("the ledger is closed") from None
            raise

    def _require_open(self) -> None:
        if self._closed:
            raise LedgerUnavailableError("the ledger is closed")

    def _guarded(self, work: Callable[[], Result]) -> Result:
        """Whatever fails is told to `on_error`; the caller learns what `known_cause` makes of it."""
        try:
            return work()
        except InvalidRequestError:
            raise
        except RecordDamagedError as fault:
            self._on_error(fault)
            raise LedgerUnavailableError(RECORD_DAMAGED, RECORD_DAMAGED) from fault
        except Exception as fault:
            self._on_error(fault)
            raise LedgerUnavailableError(_UNAVAILABLE, known_cause(fault)) from fault
