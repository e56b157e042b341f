"""Outcomes of allowed tool calls: status, receipt of a report, and amounts that a person must accept."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from placet.sdk._deprecated import warn_renamed

if TYPE_CHECKING:
    from datetime import datetime


class OutcomeStatus(StrEnum):
    """Outcome of an allowed tool call."""

    SUCCEEDED = "succeeded"
    """The call did what was proposed."""
    FAILED = "failed"
    """The call ran and failed."""
    NOT_EXECUTED = "not_executed"
    """The call never started."""
    UNKNOWN = "unknown"
    """It is unknown whether the call ran."""


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """What a report of an outcome changed."""

    duplicate: bool
    """True if the same report was recorded before. Then this one changed nothing."""
    late: bool
    """True if the decision's budget reservation expired before the report arrived."""
    exceeded_budget_ids: tuple[str, ...]
    """Ids of the budgets whose limit is now exceeded, because the call used more than was reserved."""
    held: tuple[str, ...] = ()
    """Ids of the budgets for which a part of this report is not counted, because it is far above what was reserved.

    An operator accepts or drops it: see `ControlClient.outcome_excesses`.
    """
    kept_budget_ids: tuple[str, ...] = ()
    """Ids of the budgets that count more than the call used, because a bound limits what outcomes give back."""

    @property
    def repeated(self) -> bool:
        """Deprecated name of `duplicate`."""
        warn_renamed(self, "repeated", "duplicate")
        return self.duplicate

    @property
    def overspent(self) -> tuple[str, ...]:
        """Deprecated name of `exceeded_budget_ids`."""
        warn_renamed(self, "overspent", "exceeded_budget_ids")
        return self.exceeded_budget_ids


@dataclass(frozen=True, slots=True)
class ExcessPart:
    """Reported amount that one budget counter does not count."""

    budget_id: str
    unit: str
    """``tokens``, ``cost`` (micros) or ``amount:USD`` (minor units)."""
    window_key: str
    """Window of the counter, such as ``2026-11-21``."""
    scope_key: str
    """Scope of the counter, such as ``user:u_4812``."""
    amount: int
    """The amount, in `unit`."""


@dataclass(frozen=True, slots=True)
class OutcomeExcess:
    """Amounts that the report of one outcome named, far above what was reserved. Times are in UTC."""

    tenant: str
    decision_id: str
    """The decision that allowed the call."""
    caller: str
    """Authenticated caller that sent the report."""
    agent: str
    user: str
    run_id: str
    tool: str
    reported_at: datetime | None
    parts: tuple[ExcessPart, ...]
    """The amounts that are not counted, one for each budget counter."""
