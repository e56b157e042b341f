"""ListBudgets, AdjustBudget, and the deprecated GetBudgets."""

from __future__ import annotations

from dataclasses import dataclass
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
from placet.transport.grpc.messages.controls import actor_of, present_request, reason_of, require
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present import time_or_nothing
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from placet.budgets.listing import CounterState
    from placet.budgets.service import BudgetAdmin, Listed
    from placet.kernel.model import Caller
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog

SCOPE_KEY_BYTES_MAX = 2 * PRINCIPAL_BYTES_MAX
"""A member's name with its scope before it, and what tells a repeated action behind it."""

SCOPES: Final = enum_codec(Scope, control_pb2.BudgetScope)
WINDOWS: Final = enum_codec(Window, control_pb2.BudgetWindow)
EXCEED_ACTIONS: Final = enum_codec(OnExceed, control_pb2.BudgetExceedAction)


@dataclass(frozen=True, slots=True)
class BudgetCalls:
    """The calls about budgets."""

    admin: BudgetAdmin
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "ListBudgets": self.refusals.unary(self.list, control_pb2.ListBudgetsRequest, on_error),
            "GetBudgets": self.refusals.unary(self.get, control_pb2.GetBudgetsRequest, on_error),
            "AdjustBudget": self.refusals.unary(self.adjust, control_pb2.AdjustBudgetRequest, on_error),
        }

    async def list(self, message: control_pb2.ListBudgetsRequest, _context: Context) -> control_pb2.ListBudgetsResponse:
        """List budgets with their counters."""
        return control_pb2.ListBudgetsResponse(budgets=await self._budgets(message))

    async def get(self, message: control_pb2.GetBudgetsRequest, _context: Context) -> control_pb2.GetBudgetsResponse:
        """Answer as `list` under the deprecated name."""
        return control_pb2.GetBudgetsResponse(budgets=await self._budgets(message))

    async def _budgets(
        self, message: control_pb2.ListBudgetsRequest | control_pb2.GetBudgetsRequest
    ) -> Sequence[control_pb2.Budget]:
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant)
        budget_id = fields.text("budget_id", message.budget_id, BUDGET_ID_CHARS_MAX)
        top = fields.count("top", message.top, BUDGET_COUNTERS_MAX)
        require(fields)
        listed = await self.admin.list(tenant, budget_id, top or BUDGET_COUNTERS_DEFAULT)
        return [_present(budget) for budget in listed]

    async def adjust(
        self, message: control_pb2.AdjustBudgetRequest, context: Context
    ) -> control_pb2.AdjustBudgetResponse:
        """Correct a counter."""
        adjusted = await self.admin.adjust(_parse(message, caller_of(context)))
        pending = present_request(adjusted.waiting)
        return control_pb2.AdjustBudgetResponse(
            applied=pending is None,
            counter=_present_counter(adjusted.counter),
            pending_request=pending,
            waiting=pending,  # deprecated: pending_request
            warnings=[adjusted.warning] if adjusted.warning else [],
        )


def _parse(message: control_pb2.AdjustBudgetRequest, caller: Caller) -> Adjustment:
    fields = Fields()
    tenant = fields.tenant("tenant", message.tenant)
    budget_id = fields.text("budget_id", message.budget_id, BUDGET_ID_CHARS_MAX, required=True)
    scope_key = fields.identifier("scope_key", message.scope_key, SCOPE_KEY_BYTES_MAX, required=True)
    amount = message.amount
    if not 0 < abs(amount) <= SAFE_INTEGER_MAX:
        fields.wrong("amount", f"is {amount}; must not be 0, and be {-SAFE_INTEGER_MAX} to {SAFE_INTEGER_MAX}")
    actor, reason = actor_of(fields, message.actor), reason_of(fields, message.reason)
    require(fields)
    return Adjustment(tenant, budget_id, scope_key, amount, actor, reason, caller, message.strict)


def _present(listed: Listed) -> control_pb2.Budget:
    budget = listed.budget
    counters = [_present_counter(each) for each in listed.counters]
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


def _present_counter(state: CounterState) -> control_pb2.BudgetCounter:
    return control_pb2.BudgetCounter(
        scope_key=state.key.scope_key,
        window_key=state.key.window_key,
        used=state.usage.used,
        reserved=state.usage.reserved,
        remaining=state.left,
        resets_at=time_or_nothing(state.resets_at_us),
        unit=state.key.unit,
    )
