"""The ledger port: what the use cases need of the store. `placet.server` picks the real one."""

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


class Ledger(Protocol):
    """The store: decisions, their audit chain, and all state that a decision reads.

    Every method raises LedgerUnavailableError when the store cannot be read or written.
    """

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        """Make them durable in one transaction, in order, or none.

        One result for each, in order. A commitment whose changes do not hold is left out: its result is a Conflict.
        """
        ...

    async def load(self, wanted: ReadSet) -> Snapshot:
        """The state asked for, as it was last committed."""
        ...

    async def list_rows(self, query: RowQuery) -> RowPage:
        """A page of rows, newest first. Raises InvalidRequestError for a wrong page_token."""
        ...

    async def tenants_with(self, table: StateTable, status: str) -> Sequence[str]:
        """Tenants that have a row with the status, in their order; "" is among them when a row belongs to none.

        Reads an index of the whole table: for people, not for decisions.
        """
        ...

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        """Rows of all tenants that are due, the earliest first."""
        ...

    async def count_due(self, table: StateTable) -> int:
        """How many rows of all tenants are due at any time: what has ended is not."""
        ...

    async def top_counters(
        self, tenant: str, budget_id: str, unit: str, window_key: str, limit: int
    ) -> Sequence[CounterRow]:
        """Counters of a budget in one window, the largest of what is used and reserved first."""
        ...

    async def window_totals(self, tenant: str, budget_id: str, limit: int) -> Sequence[WindowTotal]:
        """What was counted for a budget, however it was defined then, by unit, the last windows first."""
        ...

    async def budget_ids_with_usage(self, tenant: str, limit: int) -> Sequence[str]:
        """Ids of the budgets that anything was ever counted for, in their order, at most so many."""
        ...

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        """Records with a subject beyond the cursor, in the order of each writer."""
        ...

    async def events_of(self, tenant: str, subject: str) -> Sequence[Event]:
        """All records about one subject, by time."""
        ...

    async def chain_heads(self) -> Cursor:
        """Where every chain ends now."""
        ...

    async def agents(self, tenant: str, limit: int) -> Sequence[str]:
        """Agents of the tenant that were ever decided for, as spelled, in any order, at most so many.

        Reads an index of all the tenant's decisions: for controls, not for decisions.
        """
        ...

    async def count_effects(self, tenant: str, tool: str, newest: int) -> Mapping[str, int]:
        """How often each effect was decided for the tool, among so many of its tenant's newest decisions."""
        ...

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write each row as its next version, without a record; whether `row.version` was still the stored one.

        For what is no part of who did what: deliveries.
        """
        ...

    async def purge_idempotency_keys(self, before_us: int, limit: int) -> int:
        """Forget at most so many idempotency keys of decisions made before then; how many there were.

        Records with a KEYS_SWEPT record that it did.
        """
        ...

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, in the event loop, soon after a record with a subject was stored by any replica."""
        ...

    async def query_decisions(self, query: DecisionQuery) -> DecisionPage:
        """A page of decisions, newest first. Raises LedgerUnavailableError."""
        ...

    async def get_decision(self, tenant: str, decision_id: str) -> RecordedDecision | None:
        """One decision of the tenant. Raises LedgerUnavailableError."""
        ...

    async def verify(self) -> VerifyReport:
        """Check every chain and checkpoint. Raises LedgerUnavailableError."""
        ...
