"""A decision point and an outcome service over one ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.audit.records import Commitment, RecordKind
from placet.kernel.model import Caller, Decision, Effect
from placet.kernel.state import CounterKey, PutIfVersion, ReadSet, Snapshot, StateTable
from placet.outcomes.service import OutcomeService
from placet.tenants.policy import TenantPolicy
from tests.support.fakes import Bench, FullLedger, ScriptedPolicy, new_request
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.decision.replies import Answer
    from placet.kernel.state import Row, RowKey
    from placet.outcomes.service import OutcomeReply

ME = "unauthenticated"
SECOND_US = 1_000_000
MONEY = {
    "id": "money",
    "scope": "tenant",
    "measure": "amount",
    "currency": "USD",
    "limit": Decimal("1.00"),
    "window": "day",
}
CALLS = {"id": "calls", "scope": "user", "measure": "calls", "limit": 5, "window": "day", "unreported": "release"}
BREAKER = {"failures_in_a_row": 2, "open_seconds": 30, "scopes": ["tool"]}


class RacedLedger(FullLedger):
    """A ledger that calls `after_read` once, after the next read: a race that another writer wins.

    It calls `between_tables` once, after the next read of outcomes and before that of the other rows, as PostgreSQL may
    let another replica commit between two statements.
    """

    after_read: Callable[[], Awaitable[object]] | None = None
    between_tables: Callable[[], Awaitable[object]] | None = None

    async def load(self, read_set: ReadSet) -> Snapshot:
        if self.between_tables is not None:
            callback, self.between_tables = self.between_tables, None
            first = await super().load(ReadSet([key for key in read_set.rows if key.table is StateTable.OUTCOMES]))
            await callback()
            later = await super().load(read_set)
            rest = {key: row for key, row in later.rows.items() if key.table is not StateTable.OUTCOMES}
            return Snapshot({**first.rows, **rest}, later.counters)
        snapshot = await super().load(read_set)
        await self._after_read()
        return snapshot

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        rows = await super().due_rows(table, now_us, limit)
        await self._after_read()
        return rows

    async def _after_read(self) -> None:
        if self.after_read is not None:
            callback, self.after_read = self.after_read, None
            await callback()


class OutcomeEnv(Bench):
    """A decision point and an outcome service for acme and globex. `sections` are sections of both tenants' files."""

    def __init__(self, **sections: Any) -> None:
        agent_policy = TenantPolicy.model_validate({"allowed_tools": ["look"], "write_tools": ["pay"], **sections})
        super().__init__(
            ScriptedPolicy(agent_policies={"acme": agent_policy, "globex": agent_policy}), ledger=RacedLedger
        )
        assert isinstance(self.ledger, RacedLedger)
        self.raced = self.ledger
        self.service = OutcomeService(self.ledger, self.source, self.clock)

    async def ask(self, tool: str = "look", **changes: Any) -> Answer:
        """Decide one request and return the answer."""
        return (await self.point.decide([new_request(tool, **changes)]))[0]

    async def allow(self, tool: str = "look", **changes: Any) -> str:
        """Decide one request, which must be allowed, and return its decision_id."""
        decision = await self.ask(tool, **changes)
        assert isinstance(decision, Decision)
        assert decision.effect is Effect.ALLOW, decision
        return decision.decision_id

    async def pay(self, minor_units: int, **changes: Any) -> str:
        """Decide a payment, which must be allowed, and return its decision_id."""
        money = {"currency_code": "USD", "minor_units": minor_units}
        return await self.allow("pay", action__amount=money, **changes)

    async def report(self, decision_id: str, status: OutcomeStatus, **fields: Any) -> OutcomeReply:
        """Report an outcome and return the reply."""
        return (await self.service.report([report(decision_id, status, **fields)]))[0]

    async def usage(self, budget_id: str) -> tuple[int, int]:
        """Return (used, reserved) of the only counter of a budget today."""
        scope = "tenant" if budget_id == "money" else "user:u_4812"
        unit = "amount:USD" if budget_id == "money" else "calls"
        key = CounterKey("acme", budget_id, unit, "2026-04-24", scope)
        usage = (await self.ledger.load(ReadSet(counters=[key]))).usage(key)
        return usage.used, usage.reserved

    async def touch(self, key: RowKey) -> None:
        """Write the row unchanged, as another writer would: its version grows."""
        row = (await MemoryLedger.load(self.ledger, ReadSet([key]))).rows[key]
        now_us = self.clock.wall_us()
        await self.ledger.commit(
            [Commitment(RecordKind.BUDGET_ADJUSTED, "acme", now_us, {}, changes=(PutIfVersion(row),))]
        )

    def bodies(self, kind: RecordKind) -> list[dict[str, Any]]:
        """Return the bodies of the records of a kind, oldest first."""
        return [
            orjson.loads(record.body) for record in self.ledger.records("w") if record.columns["kind"] == kind.value
        ]


def report(
    decision_id: str, status: OutcomeStatus, *, caller: str = ME, tenant: str = "acme", **fields: Any
) -> OutcomeReport:
    """Return an outcome report."""
    return OutcomeReport(tenant, decision_id, Caller(caller), Outcome(status, **fields))
