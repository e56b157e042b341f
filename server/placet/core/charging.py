"""What an action counts against, and by how much: the budgets of its tenant's file, applied to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.core import rule_ids
from placet.core.budgets import Charge, Measure, Scope, charge_fault
from placet.core.changes import CounterKey
from placet.core.customers import customer_of
from placet.core.model import ToolClass
from placet.core.windows import Window, window_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from placet.core.agent_policy import AgentPolicy
    from placet.core.budgets import Budget, ChargeFault
    from placet.core.model import Proposal

_NAMES: Final[Mapping[Scope, Callable[[Proposal], str]]] = {
    Scope.RUN: lambda proposal: proposal.run.run_id,
    Scope.WORKFLOW: lambda proposal: proposal.run.workflow,
    Scope.USER: lambda proposal: proposal.identity.user,
    Scope.AGENT: lambda proposal: proposal.identity.agent,
    Scope.TOOL: lambda proposal: proposal.action.tool,
}


def charges(
    agent_policy: AgentPolicy, proposal: Proposal, now_us: int
) -> tuple[tuple[Charge, ...], tuple[ChargeFault, ...]]:
    """What the action takes of each budget that covers it, in the order of their ids, and what cannot be counted."""
    found: list[Charge] = []
    faults: list[ChargeFault] = []
    still = _moves_nothing(agent_policy, proposal)
    workflow, environment = proposal.run.workflow, proposal.action.environment
    for budget in agent_policy.budgets_of(proposal.action.tool):
        if (still and budget.measure is Measure.AMOUNT) or not budget.match.covers_place(workflow, environment):
            continue
        charge = _charge(budget, agent_policy, proposal, now_us)
        if isinstance(charge, Charge):
            found.append(charge)
        else:
            faults.append(charge)
    return tuple(found), tuple(faults)


def _moves_nothing(agent_policy: AgentPolicy, proposal: Proposal) -> bool:
    """Whether no money can move: a dry run, or a tool that only reads and was given no amount above zero."""
    action = proposal.action
    none = action.amount is None or action.amount.minor_units == 0
    return action.dry_run or (none and agent_policy.tool_class(action.tool) is ToolClass.READ)


def _charge(budget: Budget, agent_policy: AgentPolicy, proposal: Proposal, now_us: int) -> Charge | ChargeFault:
    if budget.measure is Measure.AMOUNT:
        amount = proposal.action.amount
        if amount is None or amount.minor_units == 0:  # nothing is refunded or paid by a call that says zero
            return charge_fault(rule_ids.BUDGET_AMOUNT_MISSING, budget.id)
        if amount.currency_code != budget.currency:
            return charge_fault(rule_ids.BUDGET_CURRENCY, budget.id)
    member = _member(budget, agent_policy, proposal)
    if not member:
        customer = budget.scope is Scope.CUSTOMER
        return charge_fault(rule_ids.BUDGET_CUSTOMER_MISSING if customer else rule_ids.BUDGET_SCOPE_MISSING, budget.id)
    window, resets_at_us = window_at(budget.window, budget.timezone, now_us)
    if budget.window is Window.RUN:
        if not proposal.run.run_id:
            return charge_fault(rule_ids.BUDGET_SCOPE_MISSING, budget.id)
        window = f"run:{proposal.run.run_id}"
    counter = CounterKey(proposal.identity.tenant, budget.id, budget.unit, window, member)
    return Charge(budget, counter, _taken(budget.measure, agent_policy, proposal), resets_at_us)


def _member(budget: Budget, agent_policy: AgentPolicy, proposal: Proposal) -> str:
    """Which member of the scope the action belongs to, as ``user:u_1``; empty when the caller does not say."""
    if budget.scope is Scope.TENANT:
        return Scope.TENANT.value
    if budget.scope is Scope.CUSTOMER:
        name = customer_of(proposal, budget.customer, agent_policy.sensitive(proposal.action.tool))
    else:
        name = _NAMES[budget.scope](proposal)
    return budget.whose + name if name else ""


def _taken(measure: Measure, agent_policy: AgentPolicy, proposal: Proposal) -> int:
    """How much. Tokens and cost nobody estimated are one of the smallest unit, so that a budget used up stops them."""
    model, amount = proposal.model, proposal.action.amount
    if measure is Measure.CALLS:
        return 1
    if measure is Measure.AMOUNT:
        return amount.minor_units if amount else 0
    if measure is Measure.TOKENS:
        return max(1, model.input_tokens + model.output_tokens)
    return max(1, model.estimated_cost_micros + agent_policy.tool_cost_micros(proposal.action.tool))
