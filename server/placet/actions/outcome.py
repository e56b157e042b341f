"""What a tool call came to, as its caller reports it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson

from placet.actions.canonical_json import canonical, digest
from placet.kernel.state import Row, RowKey, StateTable


class OutcomeStatus(StrEnum):
    """What became of an allowed call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One report. None for what it does not say.

    `tokens` are those beyond the request's. `cost_micros` and `amount_minor_units` are in the currencies of the tenant
    and of the action. `result_digest` is the SHA-256 of the result, or empty.
    """

    status: OutcomeStatus
    latency_ms: int = 0
    tokens: int | None = None
    cost_micros: int | None = None
    amount_minor_units: int | None = None
    error_class: str = ""
    result_digest: str = ""

    def content_digest(self) -> str:
        """What two reports share that say the same."""
        return digest(canonical({**asdict(self), "status": self.status.value}))


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """An outcome on its way in: of which decision, and who reports it."""

    tenant: str
    decision_id: str
    caller: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """An outcome as it was taken, by the digest of what was reported.

    `late`: the reservation had expired. `overspent`: budgets that were beyond their limits with it, sorted. `held`:
    those of which a part of it is not counted, because it is far above what was reserved; sorted.
    """

    outcome: Outcome
    content_digest: str
    late: bool
    overspent: tuple[str, ...]
    taken_at_us: int
    held: tuple[str, ...] = ()


def outcome_key(tenant: str, decision_id: str) -> RowKey:
    """Where a decision's outcome stands."""
    return RowKey(StateTable.OUTCOMES, tenant, decision_id)


def to_row(key: RowKey, taken: RecordedOutcome) -> Row:
    """The row to put: the first and only version."""
    said = {
        **asdict(taken.outcome),
        "content_digest": taken.content_digest,
        "late": taken.late,
        "overspent": taken.overspent,
        **({"held": taken.held} if taken.held else {}),
    }
    return Row(key, taken.outcome.status.value, taken.taken_at_us, orjson.dumps(said))


def from_row(row: Row) -> RecordedOutcome:
    """What `to_row` wrote."""
    said = orjson.loads(row.body)
    about = {name: said.pop(name) for name in ("content_digest", "late")}
    overspent, held = tuple(said.pop("overspent")), tuple(said.pop("held", ()))
    outcome = Outcome(**{**said, "status": OutcomeStatus(said["status"])})
    return RecordedOutcome(outcome=outcome, overspent=overspent, taken_at_us=row.created_at_us, held=held, **about)
