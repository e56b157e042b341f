"""The part of ControlServicer about budgets: ListBudgets, AdjustBudget, and the deprecated GetBudgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.budgets.model import OnExceed, Scope
from placet.budgets.service import Adjustment
from placet.budgets.windows import Window
from placet.kernel.limits import (
    BUDGET_COUNTERS_DEFAULT,
    BUDGET_COUNTERS_MAX,
    BUDGET_ID_CHARS_MAX,
    PRINCIPAL_BYTES_MAX,
    SAFE_INTEGER_MAX,
)
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.controls import actor_of, control_request_to_proto, reason_of
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.to_proto import optional_timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import control_pb2, control_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.budgets.listing import CounterState
    from placet.budgets.service import BudgetAdmin, Listed
    from placet.kernel.model import Caller
    from placet.transport.grpc.context import Context

SCOPE_KEY_BYTES_MAX = 2 * PRINCIPAL_BYTES_MAX
"""A scope key is a scope, the name of its member, and for repeated actions a fingerprint of the action."""

SCOPES: Final = enum_codec(Scope, control_pb2.BudgetScope)
WINDOWS: Final = enum_codec(Window, control_pb2.BudgetWindow)
EXCEED_ACTIONS: Final = enum_codec(OnExceed, control_pb2.BudgetExceedAction)


class BudgetMethods(control_pb2_grpc.ControlServiceServicer):
    """Lists and adjusts budgets."""

    budgets: BudgetAdmin

    async def ListBudgets(
        self, request: control_pb2.ListBudgetsRequest, _context: Context
    ) -> control_pb2.ListBudgetsResponse:
        """List budgets with their counters."""
        return control_pb2.ListBudgetsResponse(budgets=await self._budgets(request))

    async def GetBudgets(
        self, request: control_pb2.GetBudgetsRequest, _context: Context
    ) -> control_pb2.GetBudgetsResponse:
        """Answer as ListBudgets, under the deprecated name."""
        return control_pb2.GetBudgetsResponse(budgets=await self._budgets(request))

    async def AdjustBudget(
        self, request: control_pb2.AdjustBudgetRequest, _context: Context
    ) -> control_pb2.AdjustBudgetResponse:
        """Adjust a counter, or request it of a second person."""
        adjusted = await self.budgets.adjust(_parse(request, current_caller()))
        pending = control_request_to_proto(adjusted.waiting)
        return control_pb2.AdjustBudgetResponse(
            applied=pending is None,
            counter=_counter_to_proto(adjusted.counter),
            pending_request=pending,
            waiting=pending,  # deprecated: pending_request
            warnings=[adjusted.warning] if adjusted.warning else [],
        )

    async def _budgets(
        self, request: control_pb2.ListBudgetsRequest | control_pb2.GetBudgetsRequest
    ) -> Sequence[control_pb2.Budget]:
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        budget_id = validator.text("budget_id", request.budget_id, BUDGET_ID_CHARS_MAX)
        top = validator.count("top", request.top, BUDGET_COUNTERS_MAX)
        validator.require_valid()
        listed = await self.budgets.list(tenant, budget_id, top or BUDGET_COUNTERS_DEFAULT)
        return [_budget_to_proto(budget) for budget in listed]


def _parse(request: control_pb2.AdjustBudgetRequest, caller: Caller) -> Adjustment:
    validator = RequestValidator()
    tenant = validator.tenant("tenant", request.tenant)
    budget_id = validator.text("budget_id", request.budget_id, BUDGET_ID_CHARS_MAX, required=True)
    scope_key = validator.identifier("scope_key", request.scope_key, SCOPE_KEY_BYTES_MAX, required=True)
    amount = request.amount
    if not 0 < abs(amount) <= SAFE_INTEGER_MAX:
        accepted = f"{-SAFE_INTEGER_MAX} to {SAFE_INTEGER_MAX}, except 0"
        validator.violation("amount", f"is {amount}; must be {accepted}")
    actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
    validator.require_valid()
    return Adjustment(tenant, budget_id, scope_key, amount, actor, reason, caller, request.strict)


def _budget_to_proto(listed: Listed) -> control_pb2.Budget:
    budget = listed.budget
    counters = [_counter_to_proto(counter) for counter in listed.counters]
    if budget is None:
        return control_pb2.Budget(id=listed.budget_id, counters=counters, current=False)
    return control_pb2.Budget(
        id=listed.budget_id,
        unit=budget.unit,
        scope=budget.scope,  # deprecated: budget_scope
        window=budget.window,  # deprecated: budget_window
        timezone=budget.timezone,
        limit=budget.limit,
        on_exceed=budget.on_exceed,  # deprecated: exceed_action
        counters=counters,
        current=True,
        currency=budget.currency,
        budget_scope=SCOPES.to_wire[budget.scope],
        budget_window=WINDOWS.to_wire[budget.window],
        exceed_action=EXCEED_ACTIONS.to_wire[budget.on_exceed],
    )


def _counter_to_proto(state: CounterState) -> control_pb2.BudgetCounter:
    return control_pb2.BudgetCounter(
        scope_key=state.key.scope_key,
        window_key=state.key.window_key,
        used=state.usage.used,
        reserved=state.usage.reserved,
        remaining=state.left,
        resets_at=optional_timestamp(state.resets_at_us),
        unit=state.key.unit,
        given_back=state.given_back,
        kept=state.kept,
    )
