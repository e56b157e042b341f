"""What the use cases need from the world. Real things are picked in `placet.app` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.changes import (
        CounterRow,
        Cursor,
        Event,
        Kept,
        Known,
        Row,
        RowPage,
        RowQuery,
        Wanted,
        WindowTotal,
    )
    from placet.core.model import Indeterminate, Verdict
    from placet.core.policy_status import PolicyStatus, ServedSource
    from placet.core.records import (
        Commitment,
        CommitResult,
        DecisionPage,
        DecisionQuery,
        RecordedDecision,
        VerifyReport,
    )


class Clock(Protocol):
    """Time. Deadlines use `monotonic`; records use `wall_us`."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...


class Ids(Protocol):
    """Fresh identifiers."""

    def decision_id(self, now_us: int) -> str:
        """``dec_`` and 32 hex digits, sorting by time."""
        ...


class LoadedPolicy(Protocol):
    """One revision of policy, with the engine that evaluates it and the tenants' files that belong to it."""

    @property
    def revision(self) -> str:
        """Digest of the policy's content."""
        ...

    @property
    def agent_policies(self) -> Mapping[str, AgentPolicy]:
        """Tenant -> its agent_policy."""
        ...

    @property
    def confirmed_at(self) -> float:
        """Monotonic seconds when this revision was last known to be the newest."""
        ...

    def where(self, rule_id: str) -> str:
        """``file:line`` of the rule with this id; "" when it is not known."""
        ...

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Evaluate each input (a JSON object); one answer for each, in order. Never raises for what the engine does."""
        ...


class PolicyMemory(Protocol):
    """What is remembered of policy beyond the end of this replica. Raises LedgerUnavailableError."""

    async def served(self) -> Sequence[ServedSource]:
        """What this replica served last, and what any replica did; those that are known, in this order."""
        ...

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed that the revision may take restrictions away."""
        ...


class PolicySource(Protocol):
    """Where the policy that decides now comes from."""

    def current(self) -> LoadedPolicy | None:
        """The policy that decides now; None before the first was loaded."""
        ...

    def status(self) -> PolicyStatus:
        """What is served, and whether something newer was refused."""
        ...


class Ledger(Protocol):
    """The store: decisions, their audit chain, and all state that a decision reads.

    Every method raises LedgerUnavailableError when the store cannot be read or written.
    """

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        """Make them durable in one transaction, in order, or none.

        One result for each, in order. A commitment whose changes do not hold is left out: its result is a Conflict.
        """
        ...

    async def load(self, wanted: Wanted) -> Known:
        """The state asked for, as it was last committed."""
        ...

    async def list_rows(self, query: RowQuery) -> RowPage:
        """A page of rows, newest first. Raises InvalidRequestError for a wrong page_token."""
        ...

    async def due_rows(self, table: Kept, now_us: int, limit: int) -> Sequence[Row]:
        """Rows of all tenants that are due, the earliest first."""
        ...

    async def count_open(self, table: Kept) -> int:
        """How many rows of all tenants are due at any time: what has ended is not."""
        ...

    async def top_counters(
        self, tenant: str, budget_id: str, unit: str, window_key: str, limit: int
    ) -> Sequence[CounterRow]:
        """Counters of a budget in one window, the largest of what is used and reserved first."""
        ...

    async def counters_of(self, tenant: str, budget_id: str, limit: int) -> Sequence[WindowTotal]:
        """What was counted for a budget, however it was defined then, by unit, the last windows first."""
        ...

    async def counted_budgets(self, tenant: str, limit: int) -> Sequence[str]:
        """Ids of the budgets that anything was ever counted for, in their order, at most so many."""
        ...

    async def events(self, after: Cursor, limit: int) -> Sequence[Event]:
        """Records with a subject beyond the cursor, in the order of each writer."""
        ...

    async def history(self, tenant: str, subject: str) -> Sequence[Event]:
        """All records about one subject, by time."""
        ...

    async def heads(self) -> Cursor:
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

    async def put_rows(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write each row as its next version, without a record; whether `row.version` was still the stored one.

        For what is no part of who did what: deliveries.
        """
        ...

    async def sweep_keys(self, before_us: int, limit: int) -> int:
        """Forget at most so many idempotency keys of decisions made before then; how many there were.

        Records with a KEYS_SWEPT record that it did.
        """
        ...

    def on_event(self, wake: Callable[[], None]) -> None:
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
