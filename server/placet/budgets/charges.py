"""What an action counts against, and by how much: the budgets of its tenant's file, applied to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.budgets.customers import customer_of
from placet.budgets.model import Charge, Measure, Scope, charge_fault
from placet.budgets.windows import Window, window_at
from placet.kernel import rule_ids
from placet.kernel.model import ToolClass
from placet.kernel.state import ZERO_USAGE, CounterKey, Usage
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.budgets.model import Budget, ChargeFault
    from placet.budgets.ports import BudgetCatalogue
    from placet.kernel.model import Proposal

_NAMES: Final[Mapping[Scope, Callable[[Proposal], str]]] = {
    Scope.RUN: lambda proposal: proposal.run.run_id,
    Scope.WORKFLOW: lambda proposal: proposal.run.workflow,
    Scope.USER: lambda proposal: proposal.identity.user,
    Scope.AGENT: lambda proposal: proposal.identity.agent,
    Scope.TOOL: lambda proposal: proposal.action.tool,
}
_FOLDED: Final = frozenset({Scope.WORKFLOW, Scope.USER, Scope.AGENT})
"""Scopes whose members have names that may be spelled in several ways. Tools and runs have exact ids."""


def charges(
    catalogue: BudgetCatalogue, proposal: Proposal, now_us: int
) -> tuple[tuple[Charge, ...], tuple[ChargeFault, ...]]:
    """What the action takes of each budget that covers it, in the order of their ids, and what cannot be counted."""
    found: list[Charge] = []
    faults: list[ChargeFault] = []
    still = _moves_nothing(catalogue, proposal)
    workflow, environment = proposal.run.workflow, proposal.action.environment
    for budget in catalogue.budgets_of(proposal.action.tool):
        if (still and budget.measure is Measure.AMOUNT) or not budget.match.covers_place(workflow, environment):
            continue
        charge = _charge(budget, catalogue, proposal, now_us)
        if isinstance(charge, Charge):
            found.append(charge)
        else:
            faults.append(charge)
    return tuple(found), tuple(faults)


def _moves_nothing(catalogue: BudgetCatalogue, proposal: Proposal) -> bool:
    """Whether no money can move: a dry run, or a tool that only reads and was given no amount above zero."""
    action = proposal.action
    none = action.amount is None or action.amount.minor_units == 0
    return action.dry_run or (none and catalogue.tool_class(action.tool) is ToolClass.READ)


def _charge(budget: Budget, catalogue: BudgetCatalogue, proposal: Proposal, now_us: int) -> Charge | ChargeFault:
    if budget.measure is Measure.AMOUNT:
        amount = proposal.action.amount
        if amount is None or amount.minor_units == 0:  # nothing is refunded or paid by a call that says zero
            return charge_fault(rule_ids.BUDGET_AMOUNT_MISSING, budget.id)
        if amount.currency_code != budget.currency:
            return charge_fault(rule_ids.BUDGET_CURRENCY, budget.id)
    member = _member(budget, catalogue, proposal)
    if isinstance(member, str):
        return charge_fault(member, budget.id)
    window, resets_at_us = window_at(budget.window, budget.timezone, now_us)
    if budget.window is Window.RUN:
        if not proposal.run.run_id:
            return charge_fault(rule_ids.BUDGET_SCOPE_MISSING, budget.id)
        window = f"run:{proposal.run.run_id}"
    key, earlier_key = member
    counter = CounterKey(proposal.identity.tenant, budget.id, budget.unit, window, key)
    earlier = None if key == earlier_key else counter._replace(scope_key=earlier_key)
    return Charge(budget, counter, _taken(budget.measure, catalogue, proposal), resets_at_us, earlier)


def _member(budget: Budget, catalogue: BudgetCatalogue, proposal: Proposal) -> tuple[str, str] | str:
    """Which member of the scope the action belongs to, as ``user:u_1``, and its key before names were folded.

    A rule_id alone when the caller does not say, or says what is no name.
    """
    if budget.scope is Scope.TENANT:
        return Scope.TENANT.value, Scope.TENANT.value
    if budget.scope is Scope.CUSTOMER:
        customer = customer_of(proposal, budget.customer, catalogue.sensitive(proposal.action.tool))
        if isinstance(customer, str):
            return customer
        return budget.whose + customer.key, budget.whose + customer.earlier_key
    name = _NAMES[budget.scope](proposal)
    key = folded(name) if budget.scope in _FOLDED else name
    return (budget.whose + key, budget.whose + name) if key else rule_ids.BUDGET_SCOPE_MISSING


def carried_over(
    charges: Sequence[Charge], counters: Mapping[CounterKey, Usage]
) -> tuple[tuple[Charge, ...], Mapping[CounterKey, Usage]]:
    """The charges, and the counters, with what was counted under the earlier keys of their members.

    Only the key of the spelling that the caller uses is known, so whoever changes it as the server is upgraded has what
    is left of one limit more, until the window ends.
    """
    if not any(charge.earlier in counters for charge in charges):
        return tuple(charges), counters
    together = dict(counters)
    found = []
    for charge in charges:
        before = counters.get(charge.earlier, ZERO_USAGE) if charge.earlier is not None else ZERO_USAGE
        usage = together.get(charge.counter, ZERO_USAGE)
        began = min(filter(None, (before.created_at_us, usage.created_at_us)), default=0)
        together[charge.counter] = Usage(usage.used + before.used, usage.reserved + before.reserved, began)
        found.append(charge._replace(carried=before.used + before.reserved))
    return tuple(found), together


def _taken(measure: Measure, catalogue: BudgetCatalogue, proposal: Proposal) -> int:
    """How much. Tokens and cost nobody estimated are one of the smallest unit, so that a budget used up stops them."""
    model, amount = proposal.model, proposal.action.amount
    if measure is Measure.CALLS:
        return 1
    if measure is Measure.AMOUNT:
        return amount.minor_units if amount else 0
    if measure is Measure.TOKENS:
        return max(1, model.input_tokens + model.output_tokens)
    return max(1, model.estimated_cost_micros + catalogue.tool_cost_micros(proposal.action.tool))
