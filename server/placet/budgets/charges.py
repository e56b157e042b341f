"""Computes the charges of an action: the counters of its tenant's budgets that it takes from, and the amounts."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from placet.budgets.customers import customer_of
from placet.budgets.model import Charge, Measure, Scope, uncountable_charge
from placet.budgets.windows import Window, window_at
from placet.kernel import rule_ids
from placet.kernel.model import ToolClass
from placet.kernel.state import ZERO_USAGE, CounterKey, Usage
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.budgets.model import Budget, UncountableCharge
    from placet.budgets.ports import BudgetCatalogue
    from placet.kernel.model import Proposal

_NAMES: Final[Mapping[Scope, Callable[[Proposal], str]]] = {
    Scope.RUN: attrgetter("run.run_id"),
    Scope.WORKFLOW: attrgetter("run.workflow"),
    Scope.USER: attrgetter("identity.user"),
    Scope.AGENT: attrgetter("identity.agent"),
    Scope.TOOL: attrgetter("action.tool"),
}
_FOLDED: Final = frozenset({Scope.WORKFLOW, Scope.USER, Scope.AGENT})
"""Scopes whose members have names, which may be spelled in several ways. Tools and runs have exact ids."""
_WHOLE_TENANT: Final = (Scope.TENANT.value, Scope.TENANT.value)


def charges(
    catalogue: BudgetCatalogue, proposal: Proposal, now_us: int
) -> tuple[tuple[Charge, ...], tuple[UncountableCharge, ...]]:
    """Return the charge for each budget that covers the action, by budget id, and the uncountable charges."""
    budgets = catalogue.budgets_of(proposal.action.tool)
    if not budgets:
        return (), ()
    countable: list[Charge] = []
    uncountable: list[UncountableCharge] = []
    moves_no_money = _moves_no_money(catalogue, proposal)
    workflow, environment = proposal.run.workflow, proposal.action.environment
    for budget in budgets:
        if moves_no_money and budget.measure is Measure.AMOUNT:
            continue
        match = budget.match
        if (match.workflows or match.environments) and not match.covers_place(workflow, environment):
            continue
        charge = _charge(budget, catalogue, proposal, now_us)
        if isinstance(charge, Charge):
            countable.append(charge)
        else:
            uncountable.append(charge)
    return tuple(countable), tuple(uncountable)


def _moves_no_money(catalogue: BudgetCatalogue, proposal: Proposal) -> bool:
    """Return whether the action is a dry run, or has a read tool and no amount above zero."""
    action = proposal.action
    has_no_amount = action.amount is None or action.amount.minor_units == 0
    return action.dry_run or (has_no_amount and catalogue.tool_class(action.tool) is ToolClass.READ)


def _charge(budget: Budget, catalogue: BudgetCatalogue, proposal: Proposal, now_us: int) -> Charge | UncountableCharge:
    charged = 1
    if budget.measure is Measure.AMOUNT:
        amount = proposal.action.amount
        if amount is None or amount.minor_units == 0:  # a real call of this tool moves more than zero
            return uncountable_charge(rule_ids.BUDGET_AMOUNT_MISSING, budget.id)
        if amount.currency_code != budget.currency:
            return uncountable_charge(rule_ids.BUDGET_CURRENCY, budget.id)
        charged = amount.minor_units
    elif budget.measure is not Measure.CALLS:
        charged = _estimate(budget.measure, catalogue, proposal)
    member = _member(budget, catalogue, proposal)
    if isinstance(member, str):
        return uncountable_charge(member, budget.id)
    if budget.window is Window.RUN:
        if not proposal.run.run_id:
            return uncountable_charge(rule_ids.BUDGET_SCOPE_MISSING, budget.id)
        window, resets_at_us = f"run:{proposal.run.run_id}", 0
    else:
        window, resets_at_us = window_at(budget.window, budget.timezone, now_us)
    key, earlier_key = member
    names = (proposal.identity.tenant, budget.id, budget.unit, window, key)
    counter = tuple.__new__(CounterKey, names)  # without the constructor, which is written in Python
    earlier = None if key == earlier_key else counter._replace(scope_key=earlier_key)
    return Charge(budget, counter, charged, resets_at_us, earlier)


def _member(budget: Budget, catalogue: BudgetCatalogue, proposal: Proposal) -> tuple[str, str] | str:
    """Return the scope key of the action's member, such as ``user:u_1``, and its legacy key with the name not folded.

    Returns a rule_id instead when the request does not name the member, or names it with invalid characters.
    """
    scope = budget.scope
    if scope is Scope.TENANT:
        return _WHOLE_TENANT
    if scope is Scope.CUSTOMER:
        customer = customer_of(proposal, budget.customer, catalogue.sensitive(proposal.action.tool))
        if isinstance(customer, str):
            return customer
        return budget.scope_prefix + customer.key, budget.scope_prefix + customer.earlier_key
    name = _NAMES[scope](proposal)
    key = folded(name) if scope in _FOLDED else name
    return (budget.scope_prefix + key, budget.scope_prefix + name) if key else rule_ids.BUDGET_SCOPE_MISSING


def carried_over(
    charges: Sequence[Charge], counters: Mapping[CounterKey, Usage]
) -> tuple[tuple[Charge, ...], Mapping[CounterKey, Usage]]:
    """Return the charges and counters, with the usage of legacy counters added.

    Only the legacy key of the spelling in the request is known. So a caller that changes the spelling at the time of
    the upgrade may spend up to one limit more until the window ends, because its legacy counter is not found.
    """
    earlier = [charge.earlier for charge in charges if charge.earlier is not None]
    if not earlier or counters.keys().isdisjoint(earlier):
        return tuple(charges), counters
    combined = dict(counters)
    carried = []
    for charge in charges:
        legacy = counters.get(charge.earlier, ZERO_USAGE) if charge.earlier is not None else ZERO_USAGE
        usage = combined.get(charge.counter, ZERO_USAGE)
        created_at_us = min(filter(None, (legacy.created_at_us, usage.created_at_us)), default=0)
        combined[charge.counter] = Usage(usage.used + legacy.used, usage.reserved + legacy.reserved, created_at_us)
        carried.append(replace(charge, carried=legacy.used + legacy.reserved))
    return tuple(carried), combined


def _estimate(measure: Measure, catalogue: BudgetCatalogue, proposal: Proposal) -> int:
    """Return the tokens or the cost to charge, in the budget's unit.

    Without an estimate 1 is charged, so that a budget that is used up still stops the action.
    """
    model = proposal.model
    if measure is Measure.TOKENS:
        return max(1, model.input_tokens + model.output_tokens)
    return max(1, model.estimated_cost_micros + catalogue.tool_cost_micros(proposal.action.tool))
