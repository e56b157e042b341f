"""What one run may do in all: tool calls, tokens, time, and the same action again and again.

Each limit but the time is a counter, as a budget is; the counter's age tells how long the run has gone on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from placet.budgets.model import Budget, Charge, Measure, Scope, charge_fault
from placet.budgets.windows import Window
from placet.kernel import rule_ids
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.kernel.model import Effect, Finding
from placet.kernel.state import ZERO_USAGE, CounterKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.budgets.model import ChargeFault
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
    """The limits of a run in its workflow; None for no limit."""

    max_tool_calls: int | None = None
    max_tokens: int | None = None
    max_duration_seconds: int | None = None
    max_same_action: int | None = None


def run_charges(limits: RunLimits, proposal: Proposal) -> tuple[tuple[Charge, ...], tuple[ChargeFault, ...]]:
    """What the action takes of its run's limits. One that names no run would escape them, so that is a fault."""
    budgets = _budgets(limits)
    if not budgets:
        return (), ()
    run_id = proposal.run.run_id
    if not run_id:
        return (), (charge_fault(rule_ids.LIMIT_RUN_ID_MISSING, rule_ids.LIMIT_RUN_ID_MISSING),)
    return tuple([_charge(budget, proposal, f"{Scope.RUN}:{run_id}") for budget in budgets]), ()


def over_duration(limits: RunLimits, started_at_us: int, now_us: int) -> bool:
    """Whether the run has gone on too long. `started_at_us` is when a counter of it was first touched, 0 for never."""
    if limits.max_duration_seconds is None or not started_at_us:
        return False
    return now_us - started_at_us >= limits.max_duration_seconds * _SECOND_US


def started_at_us(charges: Iterable[Charge], counters: Mapping[CounterKey, Usage]) -> int:
    """When the run of these charges began, by the counter kept for it; 0 when it begins now, or nothing limits it."""
    for charge in charges:
        if charge.budget.id == rule_ids.LIMIT_DURATION:
            return counters.get(charge.counter, ZERO_USAGE).created_at_us
    return 0


def duration_finding(limits: RunLimits, started: int) -> Finding:
    """The deny of a run that has gone on too long."""
    details = {"limit_seconds": limits.max_duration_seconds, "started_at_us": started}
    return Finding(Effect.DENY, rule_ids.LIMIT_DURATION, rule_ids.CORE_REASONS[rule_ids.LIMIT_DURATION], details)


def run_facts(charges: Iterable[Charge], counters: Mapping[CounterKey, Usage]) -> dict[str, Any]:
    """What policy sees at ``input.facts.run``: what the run did before this action; null for what is not counted."""
    seen: dict[str, Any] = dict.fromkeys(_FACTS.values())
    for charge in charges:
        name = _FACTS.get(charge.budget.id)
        if name:
            usage = counters.get(charge.counter, ZERO_USAGE)
            seen[name] = usage.used + usage.reserved
    return seen


def _sameness(proposal: Proposal) -> str:
    """What two actions share that do the same: tool and params."""
    said = proposal.action.tool.encode() + b"\0" + proposal.action.params
    return hashlib.sha256(said).hexdigest()[:_DIGEST_CHARS]


@lru_cache(maxsize=1_024)
def _budgets(limits: RunLimits) -> tuple[Budget, ...]:
    wanted = (
        (rule_ids.LIMIT_TOOL_CALLS, Measure.CALLS, limits.max_tool_calls),
        (rule_ids.LIMIT_TOKENS, Measure.TOKENS, limits.max_tokens),
        (rule_ids.LIMIT_DURATION, Measure.CALLS, limits.max_duration_seconds and SAFE_INTEGER_MAX),
        (rule_ids.LIMIT_LOOP, Measure.CALLS, limits.max_same_action),
    )
    return tuple(
        Budget(rule_id, Scope.RUN, measure, limit, Window.RUN)
        for rule_id, measure, limit in wanted
        if limit is not None
    )


def _charge(budget: Budget, proposal: Proposal, run: str) -> Charge:
    """`run` is the key of the run's window, and of its scope where all its actions count."""
    model = proposal.model
    taken = max(1, model.input_tokens + model.output_tokens) if budget.measure is Measure.TOKENS else 1
    scope_key = f"{run}:{_sameness(proposal)}" if budget.id == rule_ids.LIMIT_LOOP else run
    return Charge(budget, CounterKey(proposal.identity.tenant, budget.id, budget.unit, run, scope_key), taken, 0)
