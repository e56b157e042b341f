"""What the use cases need from the world. Real things are picked in `placet.app` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.model import NoVerdict, Verdict
    from placet.core.policy_status import PolicyStatus
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

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | NoVerdict]:
        """Evaluate each input (a JSON object); one answer for each, in order. Never raises for what the engine does."""
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
    """The store: decisions, their audit chain, and (later) all state that a decision reads."""

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        """Make all of them durable in one transaction, in order, or none.

        One result for each, in order. Raises LedgerUnavailableError when they could not be made durable.
        """
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
