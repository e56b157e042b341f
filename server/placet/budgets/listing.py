"""Budgets as people look at them: those of a tenant's file, run limits among them, and what was counted for others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.budgets.model import Budget, Measure, Scope
from placet.budgets.windows import Window, window_at
from placet.kernel import rule_ids
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from placet.budgets.ports import BudgetCatalogue
    from placet.budgets.run_limits import RunLimits
    from placet.kernel.state import CounterKey, Usage, WindowTotal

_EXAMPLES: Final = {
    Scope.RUN: "run:run_7",
    Scope.WORKFLOW: "workflow:refunds",
    Scope.USER: "user:u_9",
    Scope.AGENT: "agent:support-agent",
    Scope.TOOL: "tool:stripe.refund",
    Scope.CUSTOMER: "customer:cus_42",
}
_NAMED: Final = frozenset({Scope.WORKFLOW, Scope.USER, Scope.AGENT, Scope.CUSTOMER})
_RUN_PREFIX: Final = f"{Window.RUN}:"


@dataclass(frozen=True, slots=True)
class CounterState:
    """One counter as it is. `left` is negative when more was spent than the limit, 0 where no limit holds for it."""

    key: CounterKey
    usage: Usage
    left: int
    resets_at_us: int


def shown_budgets(catalogue: BudgetCatalogue | None) -> dict[str, Budget]:
    """Id -> budget, for all that the tenant's file has; none without a file.

    A run limit is a budget of the run, its limit that of runs whose workflow the file does not name, or else the
    largest. The limit of a run's duration is none: it counts time.
    """
    if catalogue is None:
        return {}
    limits = [catalogue.run_limits(workflow) for workflow in ("", *catalogue.limited_workflows)]
    found = (*catalogue.all_budgets, *_run_budgets(limits))
    return {budget.id: budget for budget in sorted(found, key=lambda each: each.id)}


def window_of(budget: Budget, scope_key: str, now_us: int) -> tuple[str, int]:
    """Key and end of the window that a member's counter is in now; the key is "" when only the run's id would tell."""
    if budget.window is not Window.RUN:
        return window_at(budget.window, budget.timezone, now_us)
    if budget.scope is not Scope.RUN:
        return "", 0
    return (scope_key.rpartition(":")[0] if budget.id == rule_ids.LIMIT_LOOP else scope_key), 0


def is_member(budget: Budget, scope_key: str) -> bool:
    """Whether there may be a counter of that name."""
    return scope_key == Scope.TENANT if budget.scope is Scope.TENANT else scope_key.startswith(f"{budget.scope}:")


def folded_scope_key(scope_key: str) -> str:
    """The key under which every spelling of the member's name is counted."""
    scope, colon, name = scope_key.partition(":")
    return scope + colon + folded(name) if scope in _NAMED else scope_key


def scope_key_form(budget: Budget) -> str:
    """How its counters are named, for whoever named one that there is not."""
    if budget.scope is Scope.TENANT:
        return f"its only scope key is {Scope.TENANT}"
    return f"a scope key of it looks like {_EXAMPLES[budget.scope]}"


def open_windows(totals: Iterable[WindowTotal], now_us: int) -> Iterator[WindowTotal]:
    """Those that still count."""
    return (total for total in totals if not total.resets_at_us or total.resets_at_us > now_us)


def is_current(budget: Budget, total: WindowTotal, now_us: int) -> bool:
    """Whether the budget, as it is defined now, counts in that unit and window."""
    if budget.window is Window.RUN:
        fits = total.window_key.startswith(_RUN_PREFIX)
    else:
        fits = total.window_key == window_of(budget, "", now_us)[0]
    return fits and total.unit == budget.unit


def state(budget: Budget | None, key: CounterKey, usage: Usage, resets_at_us: int) -> CounterState:
    """The counter, measured by the budget as it is now; None: by none."""
    left = budget.limit - usage.used - usage.reserved if budget is not None and key.unit == budget.unit else 0
    return CounterState(key, usage, left, resets_at_us)


def _run_budgets(limits: list[RunLimits]) -> Iterator[Budget]:
    wanted = (
        (rule_ids.LIMIT_TOOL_CALLS, Measure.CALLS, [each.max_tool_calls for each in limits]),
        (rule_ids.LIMIT_TOKENS, Measure.TOKENS, [each.max_tokens for each in limits]),
        (rule_ids.LIMIT_LOOP, Measure.CALLS, [each.max_same_action for each in limits]),
    )
    for rule_id, measure, (general, *others) in wanted:
        limit = general or max((each for each in others if each), default=None)
        if limit is not None:
            yield Budget(rule_id, Scope.RUN, measure, limit, Window.RUN)
