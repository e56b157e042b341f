"""What budgets need of a tenant's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.budgets.model import Budget
    from placet.budgets.run_limits import RunLimits
    from placet.kernel.model import ToolClass


class BudgetCatalogue(Protocol):
    """The budgets of one tenant, and what is known of its tools."""

    @property
    def all_budgets(self) -> tuple[Budget, ...]:
        """Every budget of the file."""
        ...

    @property
    def limited_workflows(self) -> tuple[str, ...]:
        """Workflows with run limits of their own."""
        ...

    def budgets_of(self, tool: str) -> tuple[Budget, ...]:
        """The budgets that cover the tool, by id."""
        ...

    def run_limits(self, workflow: str) -> RunLimits:
        """The limits of a run of the workflow."""
        ...

    def sensitive(self, tool: str) -> tuple[str, ...]:
        """JSON pointers to the sensitive values among the tool's params."""
        ...

    def tool_class(self, tool: str) -> ToolClass:
        """Whether the tool reads or writes."""
        ...

    def tool_cost_micros(self, tool: str) -> int:
        """The fee of one call, in micros of the tenant's currency."""
        ...
