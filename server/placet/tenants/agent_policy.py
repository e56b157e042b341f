"""One tenant's `agent_policy`: which tools its agents may use, on what conditions, and how much of it.

Validated whole, unknown keys refused, and every key that is taken is enforced: those that Placet will enforce later are
refused as "not enforced yet". Numbers are integers or `decimal.Decimal`, never floats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import model_validator

from placet.kernel.limits import (
    APPROVAL_TTL_SECONDS_DEFAULT,
    TENANT_CHARS_MAX,
)
from placet.kernel.model import ToolClass
from placet.matching.names import folded
from placet.matching.separated_globs import separated_glob_regex
from placet.tenants.budget_sections import all_budgets, budget_data
from placet.tenants.consistency import policy_faults
from placet.tenants.control_sections import autonomy_data, limits_data
from placet.tenants.document import TenantDocument
from placet.tenants.fields import refuse
from placet.tenants.sections import (
    Approval,
    ToolSpec,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from placet.actions.bindings import Binding
    from placet.budgets.model import Budget
    from placet.budgets.run_limits import RunLimits
    from placet.controls.autonomy.model import Autonomy
    from placet.controls.breakers.model import BreakerSpec

TENANT_PATTERN: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{TENANT_CHARS_MAX - 1}}}")
"""A tenant id, matched whole."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What every decision asks of a tenant's file, by tool or workflow.

    Kept apart from the model: pydantic takes 2 us to find a private attribute, and a decision would look for twelve.
    """

    classes: Mapping[str, ToolClass]
    budgets: tuple[Budget, ...]
    budgets_of: Mapping[str, tuple[Budget, ...]]
    fees: Mapping[str, int]
    bindings: Mapping[str, Binding]
    runs: Mapping[str, RunLimits]
    autonomy: Autonomy
    breaker: BreakerSpec | None


class AgentPolicy(TenantDocument):
    """The agent_policy of one tenant: its document, checked whole, and what every decision asks of it. Immutable."""

    @model_validator(mode="after")
    def _consistent(self) -> AgentPolicy:
        refuse(policy_faults(self))
        self.derived  # noqa: B018 - now, not when the first decision needs it
        return self

    @cached_property
    def derived(self) -> Derived:
        """What follows from the sections, by what a decision asks it by."""
        budgets = all_budgets(self.spend_limits, self.budgets, self.currency)
        classes = dict.fromkeys(self.allowed_tools, ToolClass.READ) | dict.fromkeys(self.write_tools, ToolClass.WRITE)
        return Derived(
            classes=classes,
            budgets=budgets,
            budgets_of={tool: tuple(each for each in budgets if each.match.covers_tool(tool)) for tool in classes},
            bindings={tool: spec.bind.binding() for tool, spec in self.tools.items() if spec.bind is not None},
            fees={tool: spec.cost_micros for tool, spec in self.tools.items()},
            runs={folded(workflow): self.limits.of(workflow) for workflow in ("", *self.limits.workflows)},
            autonomy=self.autonomy.value(),
            breaker=self.limits.breaker.spec() if self.limits.breaker else None,
        )

    @property
    def known_tools(self) -> Collection[str]:
        """The tools that the file lists."""
        return self.derived.classes.keys()

    def tool_class(self, tool: str) -> ToolClass:
        """Whether the tenant's agents may read or write with the tool; UNKNOWN when it is in neither list."""
        return self.derived.classes.get(tool, ToolClass.UNKNOWN)

    @property
    def redact(self) -> bool:
        """Whether sensitive values are kept out of records and logs."""
        return self.pii.redact

    def sensitive(self, tool: str) -> tuple[str, ...]:
        """JSON pointers into the tool's params; ``*`` stands for any member or index."""
        spec = self.tools.get(tool)
        return spec.sensitive if spec else ()

    @property
    def all_budgets(self) -> tuple[Budget, ...]:
        """Every budget, in the order of their ids; those that `spend_limits` stands for too."""
        return self.derived.budgets

    @property
    def limited_workflows(self) -> tuple[str, ...]:
        """Workflows with run limits of their own."""
        return tuple(self.limits.workflows)

    def budgets_of(self, tool: str) -> tuple[Budget, ...]:
        """Those that count actions with the tool, in the order of their ids."""
        return self.derived.budgets_of.get(tool, ())

    def tool_cost_micros(self, tool: str) -> int:
        """The fee of one call of the tool, in micros of the tenant's currency; 0 when the file names none."""
        return self.derived.fees.get(tool, 0)

    def binding(self, tool: str) -> Binding | None:
        """Where the tool's params repeat what an action declares; None when the file does not say."""
        return self.derived.bindings.get(tool)

    def run_limits(self, workflow: str) -> RunLimits:
        """What a run in the workflow may do in all."""
        runs = self.derived.runs
        return runs.get(folded(workflow)) or runs[""]

    @property
    def breaker(self) -> BreakerSpec | None:
        """When circuit breakers open; None when the tenant has none."""
        return self.derived.breaker

    @property
    def autonomy_levels(self) -> Autonomy:
        """How far agents go on their own by the file."""
        return self.derived.autonomy

    def approval_seconds(self, tool: str) -> int:
        """How long people have to decide on an action with the tool."""
        approval = self.approvals.get(tool)
        return approval.expires_after_seconds if approval else APPROVAL_TTL_SECONDS_DEFAULT

    def as_data(self) -> dict[str, Any]:
        """The document that policy reads at ``data.tenants[tenant]``: every key present, lists sorted."""
        return {
            "default_mode": self.default_mode,
            "allowed_tools": sorted(self.allowed_tools),
            "write_tools": sorted(self.write_tools),
            "approvals": {tool: _approval_data(approval) for tool, approval in self.approvals.items()},
            "approver_groups": {role: sorted(persons) for role, persons in self.approver_groups.items()},
            "autonomy": autonomy_data(self.autonomy),
            "budgets": {budget.id: budget_data(budget) for budget in self.all_budgets},
            "currency": self.currency,
            "limits": limits_data(self.limits),
            "pii": {"redact": self.pii.redact},
            "spend_limits": self.spend_limits.model_dump(exclude_none=True) if self.spend_limits else {},
            "tools": {tool: _tool_data(spec) for tool, spec in self.tools.items()},
            "destinations": {tool: sorted(patterns) for tool, patterns in self.destinations.items()},
            "destination_expressions": {
                tool: sorted(map(separated_glob_regex, patterns)) for tool, patterns in self.destinations.items()
            },
            "evidence": {tool: {"min_items": rule.min_items} for tool, rule in self.evidence.items()},
            "environments": {"write": sorted(self.environments.write)} if self.environments else {},
            "dry_run": {
                "required": sorted(self.dry_run.required),
                "waives_approval": sorted(self.dry_run.waives_approval),
            },
            "packs": {pack: dict(values) for pack, values in self.packs.items()},
        }


def _tool_data(spec: ToolSpec) -> dict[str, Any]:
    """With `bind` and `sensitive`, which no rule needs: what is kept is part of what a revision means."""
    schema = {} if spec.params_schema is None else {"params_schema": spec.params_schema}
    bind = {} if spec.bind is None else {"bind": spec.bind.as_data()}
    return {**schema, **bind, "sensitive": sorted(spec.sensitive), "cost_micros": spec.cost_micros}


def _approval_data(approval: Approval | None) -> dict[str, Any]:
    shown = approval or Approval()
    return {
        "required": approval is not None,
        "quorum": shown.quorum,
        "approver_roles": sorted(shown.approver_roles),
        "distinct_roles": shown.distinct_roles,
        "expires_after_seconds": shown.expires_after_seconds,
    }
