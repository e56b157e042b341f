"""Prepares budgets for people: the budgets and run limits of a tenant's file, and the state of their counters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.budgets.give_backs import given_back_counter, is_beside, kept_counter
from placet.budgets.model import Budget, Measure, Scope
from placet.budgets.windows import Window, window_at
from placet.kernel import rule_ids
from placet.kernel.state import ZERO_USAGE
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
    """The state of one counter."""

    key: CounterKey
    usage: Usage
    left: int
    """Limit minus usage: negative when more than the limit was spent, 0 when the counter has no limit now."""
    resets_at_us: int
    given_back: int = 0
    """What outcomes gave back. Counted only where give-backs are bounded."""
    kept: int = 0
    """What is used only because a bound limits what outcomes give back."""


def listed_budgets(catalogue: BudgetCatalogue | None) -> dict[str, Budget]:
    """Return all budgets of the tenant's file by id; none without a file.

    A run limit is listed as a budget of the scope run. Its limit is that of runs whose workflow has no separate
    limits, or else the largest. The limit of a run's duration is not listed: it counts time.
    """
    if catalogue is None:
        return {}
    limits = [catalogue.run_limits(workflow) for workflow in ("", *catalogue.limited_workflows)]
    budgets = (*catalogue.all_budgets, *_run_budgets(limits))
    return {budget.id: budget for budget in sorted(budgets, key=lambda budget: budget.id)}


def window_of(budget: Budget, scope_key: str, now_us: int) -> tuple[str, int]:
    """Return key and end of the current window of a member's counter. The key is "" when it needs the run's id."""
    if budget.window is not Window.RUN:
        return window_at(budget.window, budget.timezone, now_us)
    if budget.scope is not Scope.RUN:
        return "", 0
    return (scope_key.rpartition(":")[0] if budget.id == rule_ids.LIMIT_LOOP else scope_key), 0


def is_member(budget: Budget, scope_key: str) -> bool:
    """Return whether the budget can have a counter with that scope key."""
    return scope_key == Scope.TENANT if budget.scope is Scope.TENANT else scope_key.startswith(f"{budget.scope}:")


def folded_scope_key(scope_key: str) -> str:
    """Return the key that counts all spellings of the member's name."""
    scope, colon, name = scope_key.partition(":")
    return scope + colon + folded(name) if scope in _NAMED else scope_key


def scope_key_form(budget: Budget) -> str:
    """Return the form of the budget's scope keys, for the error of a wrong one."""
    if budget.scope is Scope.TENANT:
        return f"its only scope key is {Scope.TENANT}"
    return f"a scope key of it looks like {_EXAMPLES[budget.scope]}"


def open_windows(totals: Iterable[WindowTotal], now_us: int) -> Iterator[WindowTotal]:
    """Return the windows that have not ended, without those of the counters of give-backs."""
    return (
        total
        for total in totals
        if not is_beside(total.unit) and (not total.resets_at_us or total.resets_at_us > now_us)
    )


def is_current(budget: Budget, total: WindowTotal, now_us: int) -> bool:
    """Return whether the budget, as it is defined now, counts in that unit and window."""
    if budget.window is Window.RUN:
        is_same_window = total.window_key.startswith(_RUN_PREFIX)
    else:
        is_same_window = total.window_key == window_of(budget, "", now_us)[0]
    return is_same_window and total.unit == budget.unit


def state(budget: Budget | None, key: CounterKey, usage: Usage, resets_at_us: int) -> CounterState:
    """Return the state of a counter, with what is left of the budget as it is now; None for no budget."""
    left = budget.limit - usage.used - usage.reserved if budget is not None and key.unit == budget.unit else 0
    return CounterState(key, usage, left, resets_at_us)


def with_give_backs(counters: Iterable[CounterState], usages: Mapping[CounterKey, Usage]) -> list[CounterState]:
    """Return the counters with what was given back and kept. `usages` holds the counters beside them."""
    return [
        replace(
            counter,
            given_back=usages.get(given_back_counter(counter.key), ZERO_USAGE).reserved,
            kept=usages.get(kept_counter(counter.key), ZERO_USAGE).used,
        )
        for counter in counters
    ]


def _run_budgets(limits: list[RunLimits]) -> Iterator[Budget]:
    """Yield the run limits as budgets. The first of `limits` is that of workflows without limits of their own."""
    by_rule = (
        (rule_ids.LIMIT_TOOL_CALLS, Measure.CALLS, [run_limits.max_tool_calls for run_limits in limits]),
        (rule_ids.LIMIT_TOKENS, Measure.TOKENS, [run_limits.max_tokens for run_limits in limits]),
        (rule_ids.LIMIT_LOOP, Measure.CALLS, [run_limits.max_same_action for run_limits in limits]),
    )
    for rule_id, measure, (general, *of_workflows) in by_rule:
        limit = general or max((limit for limit in of_workflows if limit), default=None)
        if limit is not None:
            yield Budget(rule_id, Scope.RUN, measure, limit, Window.RUN)
