"""The limits of one run: tool calls, tokens, duration, and repetitions of the same action.

All limits but the duration are counted like budgets. The duration of a run is the age of a counter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from placet.budgets.model import Budget, Charge, Measure, Scope, uncountable_charge
from placet.budgets.windows import Window
from placet.kernel import rule_ids
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.kernel.model import Effect, Finding
from placet.kernel.state import ZERO_USAGE, CounterKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.budgets.model import UncountableCharge
    from placet.kernel.model import Proposal
    from placet.kernel.state import Usage

_SECOND_US: Final = 1_000_000
_DIGEST_CHARS: Final = 16
_FACTS: Final = {
    rule_ids.LIMIT_TOOL_CALLS: "calls",
    rule_ids.LIMIT_TOKENS: "tokens",
    rule_ids.LIMIT_LOOP: "same_action_calls",
}


@dataclass(frozen=True, slots=True)
class RunLimits:
    """The limits of a run of one workflow. None means no limit."""

    max_tool_calls: int | None = None
    max_tokens: int | None = None
    max_duration_seconds: int | None = None
    max_same_action: int | None = None


def run_charges(limits: RunLimits, proposal: Proposal) -> tuple[tuple[Charge, ...], tuple[UncountableCharge, ...]]:
    """Return the charges of the action against the limits of its run.

    An action without a run_id cannot be counted, so that no caller escapes the limits by leaving the run_id out.
    """
    budgets = _budgets(limits)
    if not budgets:
        return (), ()
    run_id = proposal.run.run_id
    if not run_id:
        return (), (uncountable_charge(rule_ids.LIMIT_RUN_ID_MISSING, rule_ids.LIMIT_RUN_ID_MISSING),)
    return tuple([_charge(budget, proposal, f"{Scope.RUN}:{run_id}") for budget in budgets]), ()


def over_duration(limits: RunLimits, started_at_us: int, now_us: int) -> bool:
    """Return whether the run has reached its limit of duration. `started_at_us` is 0 for a run that starts now."""
    if limits.max_duration_seconds is None or not started_at_us:
        return False
    return now_us - started_at_us >= limits.max_duration_seconds * _SECOND_US


def started_at_us(charges: Iterable[Charge], counters: Mapping[CounterKey, Usage]) -> int:
    """Return when the run of these charges started: when its duration counter was first used.

    Returns 0 when the run starts now, and when its duration is not limited.
    """
    for charge in charges:
        if charge.budget.id == rule_ids.LIMIT_DURATION:
            return counters.get(charge.counter, ZERO_USAGE).created_at_us
    return 0


def duration_finding(limits: RunLimits, started: int) -> Finding:
    """Return the deny of a run that has reached its limit of duration."""
    details = {"limit_seconds": limits.max_duration_seconds, "started_at_us": started}
    return Finding(Effect.DENY, rule_ids.LIMIT_DURATION, rule_ids.CORE_REASONS[rule_ids.LIMIT_DURATION], details)


def run_facts(charges: Iterable[Charge], counters: Mapping[CounterKey, Usage]) -> dict[str, Any]:
    """Return the value of ``input.facts.run`` that policy sees: the usage of the run before this action.

    Usage that is not counted is null.
    """
    run: dict[str, Any] = dict.fromkeys(_FACTS.values())
    for charge in charges:
        name = _FACTS.get(charge.budget.id)
        if name:
            usage = counters.get(charge.counter, ZERO_USAGE)
            run[name] = usage.used + usage.reserved
    return run


def _action_fingerprint(proposal: Proposal) -> str:
    """Return a digest of tool and params: actions with the same digest count as the same."""
    content = proposal.action.tool.encode() + b"\0" + proposal.action.params
    return hashlib.sha256(content).hexdigest()[:_DIGEST_CHARS]


@lru_cache(maxsize=1_024)
def _budgets(limits: RunLimits) -> tuple[Budget, ...]:
    """Return the run limits as budgets. The duration's counter is used for its age and never reaches its limit."""
    by_rule = (
        (rule_ids.LIMIT_TOOL_CALLS, Measure.CALLS, limits.max_tool_calls),
        (rule_ids.LIMIT_TOKENS, Measure.TOKENS, limits.max_tokens),
        (rule_ids.LIMIT_DURATION, Measure.CALLS, limits.max_duration_seconds and SAFE_INTEGER_MAX),
        (rule_ids.LIMIT_LOOP, Measure.CALLS, limits.max_same_action),
    )
    return tuple(
        Budget(rule_id, Scope.RUN, measure, limit, Window.RUN)
        for rule_id, measure, limit in by_rule
        if limit is not None
    )


def _charge(budget: Budget, proposal: Proposal, run: str) -> Charge:
    """Return the charge. `run` is the window key of the run. It is the scope key too, but for the loop limit."""
    model = proposal.model
    amount = max(1, model.input_tokens + model.output_tokens) if budget.measure is Measure.TOKENS else 1
    scope_key = f"{run}:{_action_fingerprint(proposal)}" if budget.id == rule_ids.LIMIT_LOOP else run
    names = (proposal.identity.tenant, budget.id, budget.unit, run, scope_key)
    return Charge(budget, tuple.__new__(CounterKey, names), amount, 0)
