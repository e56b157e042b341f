"""Budgets: limits, charges against them, and the remaining amounts.

All numbers are integers: amounts in minor units, cost in micros, calls and tokens in ones. A budget has one counter for
each member of its scope (each user, each customer, ...) and each window. `placet.budgets.charges` computes which
counters an action is charged to, and how much. The ledger adds the charges and enforces the limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from placet.kernel import rule_ids
from placet.kernel.clock import rfc3339
from placet.kernel.model import Effect, Finding
from placet.kernel.state import RATIO_PARTS, ZERO_USAGE, CounterKey, Reserve, Usage
from placet.matching.globs import glob_matches
from placet.matching.names import same_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.budgets.windows import Window
    from placet.kernel.model import ApprovalRequirement

PER_MILLE: Final = 1_000


class Measure(StrEnum):
    """What a budget counts."""

    AMOUNT = "amount"
    CALLS = "calls"
    TOKENS = "tokens"
    COST = "cost"


class Scope(StrEnum):
    """The members that a budget counts separately: one counter for each user, each customer, and so on."""

    RUN = "run"
    WORKFLOW = "workflow"
    USER = "user"
    AGENT = "agent"
    TENANT = "tenant"
    TOOL = "tool"
    CUSTOMER = "customer"


class OnExceed(StrEnum):
    """How an action is decided when a budget has no room for it."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    DRAFT_ONLY = "draft_only"


class Unreported(StrEnum):
    """How a reservation ends when no outcome is reported in time: it counts as used, or it is released."""

    COUNT = "count"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Match:
    """Selects the actions that a budget counts. An empty field selects all."""

    tools: tuple[str, ...] = ()
    """Patterns of tool names."""
    workflows: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()

    def covers_tool(self, tool: str) -> bool:
        """Return whether actions with the tool are selected."""
        return not self.tools or any(glob_matches(pattern, tool) for pattern in self.tools)

    def covers_place(self, workflow: str, environment: str) -> bool:
        """Return whether actions of the workflow in the environment are selected."""
        return (not self.workflows or any(same_name(workflow, name) for name in self.workflows)) and (
            not self.environments or environment in self.environments
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit. `unit`, `rule_id` and `scope_prefix` are derived once, because every action reads them."""

    id: str
    scope: Scope
    measure: Measure
    limit: int
    """In minor units of `currency` for amounts, in micros of it for cost, else in ones."""
    window: Window
    currency: str = ""
    customer: str = ""
    """JSON pointer to the customer in the params, for the scope customer; else ""."""
    timezone: str = "UTC"
    match: Match = field(default_factory=Match)
    on_exceed: OnExceed = OnExceed.DENY
    approval: ApprovalRequirement | None = None
    """Set when `on_exceed` is require_approval."""
    warn_at_per_mille: int | None = None
    """Per mille of the limit from which policy sees `warn`; None for never."""
    unreported: Unreported = Unreported.COUNT
    unit: str = field(init=False)
    """The unit of the counters: ``calls``, ``tokens``, ``cost``, ``amount:USD``."""
    rule_id: str = field(init=False)
    """The rule_id of decisions that the budget stops."""
    scope_prefix: str = field(init=False)
    """The prefix of the scope keys of its counters, such as ``user:``."""

    def __post_init__(self) -> None:
        """Derive `unit`, `rule_id` and `scope_prefix`."""
        unit = f"{self.measure}:{self.currency}" if self.measure is Measure.AMOUNT else self.measure.value
        own = self.id.startswith(rule_ids.LIMITS_PREFIX)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "rule_id", self.id if own else rule_ids.BUDGETS_PREFIX + self.id)
        object.__setattr__(self, "scope_prefix", f"{self.scope}:")


class Charge(Struct, frozen=True, gc=False):
    """The amount that an action takes from one counter of a budget."""

    budget: Budget
    counter: CounterKey
    amount: int
    resets_at_us: int
    """When the counter's window ends, in microseconds since the epoch; 0 for never."""
    earlier: CounterKey | None = None
    """The legacy counter of the member, from when each spelling of a name had its own. None when it is the same."""
    carried: int = 0
    """The usage of the legacy counter, which reduces the limit."""


@dataclass(frozen=True, slots=True)
class UncountableCharge:
    """A charge that cannot be counted, so the action is denied."""

    rule_id: str
    reason: str
    budget_id: str

    def finding(self) -> Finding:
        """Return the deny."""
        return Finding(Effect.DENY, self.rule_id, self.reason, {"budget": self.budget_id})


def uncountable_charge(rule_id: str, budget_id: str) -> UncountableCharge:
    """Return an uncountable charge with the reason of the rule_id."""
    return UncountableCharge(rule_id, rule_ids.CORE_REASONS[rule_id], budget_id)


def exceeded(charge: Charge, usage: Usage) -> bool:
    """Return whether the budget has no room for the charge."""
    return usage.used + usage.reserved + charge.amount > charge.budget.limit


def remaining(limit: int, usage: Usage) -> int:
    """Return what is left of the limit; 0 when more than the limit was spent."""
    left = limit - usage.used - usage.reserved
    return max(0, left)


def waived(charge: Charge, *, dry_run: bool, approved: bool) -> bool:
    """Return whether the limit does not apply: to a dry run under draft_only, or to an approved action."""
    on_exceed = charge.budget.on_exceed
    return (dry_run and on_exceed is OnExceed.DRAFT_ONLY) or (approved and on_exceed is OnExceed.REQUIRE_APPROVAL)


def reserve(charge: Charge, *, dry_run: bool, approved: bool) -> Reserve:
    """Return the change that reserves the charge. A waived charge is reserved without a limit: it is still counted."""
    may_waive = dry_run or approved
    limit = None
    if not (may_waive and waived(charge, dry_run=dry_run, approved=approved)):
        limit = charge.budget.limit - charge.carried
    return Reserve(charge.counter, charge.amount, limit, charge.resets_at_us)


def finding(charge: Charge, usage: Usage) -> Finding:
    """Return the finding of an exceeded budget: a deny, or a require_approval with its quorum and roles."""
    budget = charge.budget
    details: dict[str, Any] = {
        "budget": budget.id,
        "unit": budget.unit,
        "limit": budget.limit,
        "used": usage.used,
        "reserved": usage.reserved,
        "asked": charge.amount,
        "resets_at": _time(charge.resets_at_us),
    }
    if budget.on_exceed is not OnExceed.REQUIRE_APPROVAL or budget.approval is None:
        return Finding(Effect.DENY, budget.rule_id, reason_of(budget), details)
    required = {"quorum": budget.approval.quorum, "approver_roles": list(budget.approval.approver_roles)}
    return Finding(Effect.REQUIRE_APPROVAL, budget.rule_id, reason_of(budget), {**details, **required})


def reason_of(budget: Budget) -> str:
    """Return the sentence for people that goes with the budget's rule_id."""
    return rule_ids.CORE_REASONS.get(budget.rule_id) or f"The budget {budget.id} has no room for this action"


def facts(charges: Iterable[Charge], counters: Mapping[CounterKey, Usage]) -> dict[str, dict[str, Any]]:
    """Return the value of ``input.facts.budgets`` that policy sees: budget id -> its state before this action."""
    return {charge.budget.id: _fact(charge, counters.get(charge.counter, ZERO_USAGE)) for charge in charges}


def _fact(charge: Charge, usage: Usage) -> dict[str, Any]:
    budget = charge.budget
    limit, warn_at, taken = budget.limit, budget.warn_at_per_mille, usage.used + usage.reserved
    left = limit - taken if taken < limit else 0  # as `remaining`
    return {
        "used": usage.used,
        "reserved": usage.reserved,
        "limit": limit,
        "remaining": left,
        "remaining_ratio": left * RATIO_PARTS // limit / RATIO_PARTS,
        "warn": warn_at is not None and taken * PER_MILLE >= limit * warn_at,
        "resets_at": _time(charge.resets_at_us),
    }


@lru_cache(maxsize=1_024)
def _time(time_us: int) -> str:
    return rfc3339(time_us) if time_us else ""
