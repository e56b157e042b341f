"""The ledger ports: what the use cases need of the storage. `placet.server` chooses the implementation.

Each use case names the smallest port that it needs. Every method raises LedgerUnavailableError when the storage cannot
be read or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.audit.records import (
        Commitment,
        CommitResult,
        DecisionPage,
        DecisionQuery,
        RecordedDecision,
        VerifyReport,
    )
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


class CommitLog(Protocol):
    """Writes to the ledger."""

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        """Make the commitments durable in one transaction, in order. Return one result for each, in order.

        A commitment whose changes do not hold is left out, and its result is a Conflict. On an error none is durable.
        """
        ...

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write each row as its next version, without a record. Return whether `row.version` was the stored version.

        For state that says nothing about who did what: webhook deliveries, last uses of access tokens.
        """
        ...

    async def purge_idempotency_keys(self, before_us: int, limit: int) -> int:
        """Delete at most `limit` idempotency keys of decisions made before `before_us`. Return how many were deleted.

        Writes a KEYS_SWEPT record in the same transaction.
        """
        ...


class RowReader(Protocol):
    """Reads rows."""

    async def load(self, read_set: ReadSet) -> Snapshot:
        """Return the requested state as it was last committed."""
        ...

    async def list_rows(self, query: RowQuery) -> RowPage:
        """Return a page of rows, newest first. Raises InvalidRequestError for a wrong page_token."""
        ...


class StateStore(RowReader, Protocol):
    """Reads the state that decisions depend on: rows and counters."""

    async def tenants_with(self, table: StateTable, status: str) -> Sequence[str]:
        """Return the tenants that have a row with the status, sorted. "" is among them when a row belongs to no tenant.

        Reads an index of the whole table: for control commands, not for decisions.
        """
        ...

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        """Return rows of all tenants that are due, the earliest first."""
        ...

    async def count_due(self, table: StateTable) -> int:
        """Return how many rows of all tenants have a due time, past or future. Finished rows have none."""
        ...

    async def top_counters(
        self, tenant: str, budget_id: str, unit: str, window_key: str, limit: int
    ) -> Sequence[CounterRow]:
        """Return counters of a budget in one window, those with the largest used + reserved first."""
        ...

    async def window_totals(self, tenant: str, budget_id: str, limit: int) -> Sequence[WindowTotal]:
        """Return totals of a budget by unit and window, the latest windows first.

        Earlier definitions of the budget are included.
        """
        ...

    async def budget_ids_with_usage(self, tenant: str, limit: int) -> Sequence[str]:
        """Return the ids of budgets that have counters, sorted, at most `limit`."""
        ...


class EventFeed(Protocol):
    """Follows records that have a subject, such as an approval or a decision."""

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        """Return records with a subject after the cursor, in the order of each writer."""
        ...

    async def events_of(self, tenant: str, subject: str) -> Sequence[Event]:
        """Return all records about one subject, by time."""
        ...

    async def chain_heads(self) -> Cursor:
        """Return the end of every chain."""
        ...

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call `wake` in the event loop soon after any replica stored a record with a subject."""
        ...


class DecisionStore(Protocol):
    """Reads and verifies recorded decisions."""

    async def query_decisions(self, query: DecisionQuery) -> DecisionPage:
        """Return a page of decisions, newest first."""
        ...

    async def get_decision(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """Return one decision of the tenant, or None."""
        ...

    async def agents(self, tenant: str, limit: int) -> Sequence[str]:
        """Return the agents in the tenant's decisions, as spelled, in any order, at most `limit`.

        Reads an index of all the tenant's decisions: for control commands, not for decisions.
        """
        ...

    async def agents_last_used(self, tenant: str, from_us: int, limit: int) -> Mapping[str, int]:
        """Return the agents in the tenant's decisions since `from_us`, as spelled, with the time of the newest one.

        Times are microseconds since 1970. At most `limit` agents, those that were used last. Reads an index of these
        decisions: for control commands, not for decisions.
        """
        ...

    async def count_effects(self, tenant: str, tool: str, newest: int) -> Mapping[str, int]:
        """Return how often each effect was decided for the tool among the `newest` latest decisions of the tenant."""
        ...

    async def verify(self) -> VerifyReport:
        """Verify every chain and checkpoint."""
        ...


class Ledger(CommitLog, StateStore, EventFeed, DecisionStore, Protocol):
    """Stores decisions, their audit chain, and all state that a decision reads."""
