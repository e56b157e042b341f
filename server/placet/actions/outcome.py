"""The outcome of a tool call, as its caller reports it and as it is stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from placet.actions.canonical_json import canonical, digest
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from placet.kernel.model import Caller


class OutcomeStatus(StrEnum):
    """How an allowed call ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reported outcome. None for values that the report does not give."""

    status: OutcomeStatus
    latency_ms: int = 0
    tokens: int | None = None
    """Tokens beyond those that the request declared."""
    cost_micros: int | None = None
    """In micros of the tenant's currency."""
    amount_minor_units: int | None = None
    """In minor units of the action's currency."""
    error_class: str = ""
    result_digest: str = ""
    """SHA-256 of the result in hex, or empty."""

    def content_digest(self) -> str:
        """Return a digest that is equal for reports with equal content."""
        return digest(canonical({**asdict(self), "status": self.status.value}))


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """An outcome to be recorded, with its decision and the caller that reports it."""

    tenant: str
    decision_id: str
    caller: Caller
    outcome: Outcome
    by_executor: bool = False
    """Whether the caller is an executor of the tenant's tools."""
    holds_permit: bool = False
    """Whether the report carries the permit of the call."""

    @property
    def uses_permit(self) -> bool:
        """Whether the report ends the use of the call's permit, so that the call cannot start any more."""
        return self.by_executor or self.holds_permit


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """An outcome as it was recorded."""

    outcome: Outcome
    content_digest: str
    """Digest of the reported content."""
    late: bool
    """Whether the reservation had expired before the report."""
    exceeded_budget_ids: tuple[str, ...]
    """Budgets that exceed their limits with this outcome, sorted."""
    taken_at_us: int
    held: tuple[str, ...] = ()
    """Budgets of which a part of the outcome is not counted yet, because it is far above what was reserved; sorted."""
    kept: tuple[str, ...] = ()
    """Budgets that did not give back all that the call left unused; sorted."""


def outcome_key(tenant: str, decision_id: str) -> RowKey:
    """Return the key of the row of a decision's outcome."""
    return RowKey(StateTable.OUTCOMES, tenant, decision_id)


def to_row(key: RowKey, recorded: RecordedOutcome) -> Row:
    """Return the row to insert. An outcome has one version only."""
    body = {
        **asdict(recorded.outcome),
        "content_digest": recorded.content_digest,
        "late": recorded.late,
        "overspent": recorded.exceeded_budget_ids,
        **({"held": recorded.held} if recorded.held else {}),
        **({"kept": recorded.kept} if recorded.kept else {}),
    }
    return Row(key, recorded.outcome.status.value, recorded.taken_at_us, orjson.dumps(body))


def from_row(row: Row) -> RecordedOutcome:
    """Return the outcome that `to_row` wrote."""
    body = orjson.loads(row.body)
    content_digest, late = body.pop("content_digest"), body.pop("late")
    exceeded, held, kept = (tuple(body.pop(name, ())) for name in ("overspent", "held", "kept"))
    outcome = Outcome(**{**body, "status": OutcomeStatus(body["status"])})
    return RecordedOutcome(outcome, content_digest, late, exceeded, row.created_at_us, held, kept)
