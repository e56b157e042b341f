"""The part of a tenant's file that budgets need, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.budgets.model import Budget
    from placet.budgets.run_limits import RunLimits
    from placet.kernel.model import ToolClass


class BudgetCatalogue(Protocol):
    """The budgets and tools of one tenant."""

    @property
    def all_budgets(self) -> tuple[Budget, ...]:
        """Every budget of the file."""
        ...

    @property
    def limited_workflows(self) -> tuple[str, ...]:
        """The workflows that have run limits of their own."""
        ...

    def budgets_of(self, tool: str) -> tuple[Budget, ...]:
        """Return the budgets that cover the tool, sorted by id."""
        ...

    def run_limits(self, workflow: str) -> RunLimits:
        """Return the limits of a run of the workflow."""
        ...

    def sensitive(self, tool: str) -> tuple[str, ...]:
        """Return JSON pointers to the sensitive values in the tool's params."""
        ...

    def tool_class(self, tool: str) -> ToolClass:
        """Return whether the tool reads or writes."""
        ...

    def tool_cost_micros(self, tool: str) -> int:
        """Return the fee of one call, in micros of the tenant's currency."""
        ...
