"""Reports of what allowed calls did: into the wire message, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class OutcomeStatus(StrEnum):
    """What became of an allowed call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """What a report changed: nothing when it was `repeated`. `late`: what the decision held had expired by then.

    `overspent` are budgets that are beyond their limits with it, because more was used than was asked for. `held` are
    those of which a part of it is not counted, because it is far above what was reserved, until an operator accepts it.
    """

    repeated: bool
    late: bool
    overspent: tuple[str, ...]
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExcessPart:
    """So much of one counter, in its unit, that was reported and is not counted."""

    budget_id: str
    unit: str
    window_key: str
    scope_key: str
    amount: int


@dataclass(frozen=True, slots=True)
class OutcomeExcess:
    """What one outcome named far above what was reserved: of which call, and who reported it."""

    tenant: str
    decision_id: str
    caller: str
    agent: str
    user: str
    run_id: str
    tool: str
    reported_at: datetime | None
    parts: tuple[ExcessPart, ...]
