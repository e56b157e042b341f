"""One tenant's file (the key `agent_policy`): which tools its agents may use, on what conditions, and how much.

The file is validated as a whole. Unknown keys are refused, and every accepted key is enforced: keys that Placet will
enforce later are refused as "not enforced yet". Numbers are integers or `decimal.Decimal`, never floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from placet.kernel.exact_json import exact_json
from placet.kernel.limits import APPROVAL_TTL_SECONDS_DEFAULT
from placet.kernel.model import ToolClass
from placet.matching.names import folded
from placet.matching.separated_globs import separated_glob_regex
from placet.tenants.agent_sections import agent_register, agents_data
from placet.tenants.budget_sections import all_budgets, budget_data
from placet.tenants.consistency import consistency_diagnostics
from placet.tenants.control_sections import autonomy_data, limits_data
from placet.tenants.document import TenantDocument
from placet.tenants.fields import refuse
from placet.tenants.sections import ToolSpec, approval_data
from placet.tenants.tool_settings import tool_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from placet.actions.bindings import Binding
    from placet.budgets.give_backs import GiveBackBounds
    from placet.budgets.model import Budget
    from placet.budgets.run_limits import RunLimits
    from placet.controls.agents.model import AgentRegister
    from placet.controls.autonomy.model import Autonomy
    from placet.controls.breakers.model import BreakerSpec
    from placet.identity.delegation import DelegationRules


@dataclass(frozen=True, slots=True)
class CompiledTenantPolicy:
    """The values that every decision reads from a tenant's file.

    Kept apart from the model: pydantic takes 2 us to find a private attribute, and a decision would look for twelve.
    """

    classes: Mapping[str, ToolClass]
    """Tool -> whether it reads or writes."""
    budgets: tuple[Budget, ...]
    """All budgets, sorted by id."""
    budgets_of: Mapping[str, tuple[Budget, ...]]
    """Tool -> the budgets that count it, sorted by id."""
    fees: Mapping[str, int]
    """Tool -> fee of one call, in micros."""
    bindings: Mapping[str, Binding]
    """Tool -> the params that must equal the fields of the action."""
    runs: Mapping[str, RunLimits]
    """Folded workflow -> limits of its runs; "" for all other workflows."""
    autonomy: Autonomy
    agents: AgentRegister | None
    """The registered agents; None for a tenant that registers none and demands none."""
    delegation: DelegationRules | None
    """The rules of delegation; None for a tenant without any."""
    breaker: BreakerSpec | None
    give_backs: GiveBackBounds | None
    schemas: Mapping[str, bytes]
    """Tool -> the JSON Schema of its params."""
    permits_always: bool
    """Whether each allow carries a permit, also if the caller did not ask for it."""
    executors_report: bool
    """Whether only executors and the holders of permits may report outcomes."""


class TenantPolicy(TenantDocument):
    """One tenant's file: its validated document, and the compiled values that decisions read. Immutable."""

    @model_validator(mode="after")
    def _consistent(self) -> TenantPolicy:
        refuse(consistency_diagnostics(self))
        self.compiled  # noqa: B018 - compiles now, not when the first decision needs it
        return self

    @cached_property
    def compiled(self) -> CompiledTenantPolicy:
        """The compiled values."""
        budgets = all_budgets(self.spend_limits, self.budgets, self.currency)
        classes = dict.fromkeys(self.allowed_tools, ToolClass.READ) | dict.fromkeys(self.write_tools, ToolClass.WRITE)
        return CompiledTenantPolicy(
            classes=classes,
            budgets=budgets,
            budgets_of={tool: tuple(b for b in budgets if b.match.covers_tool(tool)) for tool in classes},
            bindings={tool: spec.bind.binding() for tool, spec in self.tools.items() if spec.bind is not None},
            fees={tool: spec.cost_micros for tool, spec in self.tools.items()},
            runs={folded(workflow): self.limits.of(workflow) for workflow in ("", *self.limits.workflows)},
            autonomy=self.autonomy.value(),
            agents=agent_register(self.agents, self.agents_mode),
            delegation=self.delegation.rules() if self.delegation is not None else None,
            breaker=self.limits.breaker.spec() if self.limits.breaker else None,
            give_backs=self.limits.give_backs.bounds() if self.limits.give_backs else None,
            schemas={
                tool: exact_json(spec.params_schema)
                for tool, spec in self.tools.items()
                if spec.params_schema is not None
            },
            permits_always=self.permits == "always",
            executors_report=self.outcomes == "executor",
        )

    @property
    def known_tools(self) -> Collection[str]:
        """The tools in allowed_tools and write_tools."""
        return self.compiled.classes.keys()

    def tool_class(self, tool: str) -> ToolClass:
        """Return whether the tool reads or writes; UNKNOWN when it is in neither list."""
        return self.compiled.classes.get(tool, ToolClass.UNKNOWN)

    @property
    def redact(self) -> bool:
        """Whether sensitive values are redacted in records and logs."""
        return self.pii.redact

    def sensitive(self, tool: str) -> tuple[str, ...]:
        """Return JSON pointers to the sensitive values in the tool's params. ``*`` matches any member or index."""
        spec = self.tools.get(tool)
        return spec.sensitive if spec else ()

    @property
    def all_budgets(self) -> tuple[Budget, ...]:
        """Every budget sorted by id, those of `spend_limits` included."""
        return self.compiled.budgets

    @property
    def limited_workflows(self) -> tuple[str, ...]:
        """The workflows that have run limits of their own."""
        return tuple(self.limits.workflows)

    def budgets_of(self, tool: str) -> tuple[Budget, ...]:
        """Return the budgets that count actions with the tool, sorted by id."""
        return self.compiled.budgets_of.get(tool, ())

    def tool_cost_micros(self, tool: str) -> int:
        """Return the fee of one call of the tool, in micros of the tenant's currency; 0 for none."""
        return self.compiled.fees.get(tool, 0)

    def binding(self, tool: str) -> Binding | None:
        """Return which params must equal the fields that an action declares; None when the tool binds none."""
        return self.compiled.bindings.get(tool)

    def params_schema(self, tool: str) -> bytes | None:
        """Return the JSON Schema of the tool's params; None when it has none."""
        return self.compiled.schemas.get(tool)

    def run_limits(self, workflow: str) -> RunLimits:
        """Return the limits of a run of the workflow."""
        runs = self.compiled.runs
        return runs.get(folded(workflow)) or runs[""]

    @property
    def breaker(self) -> BreakerSpec | None:
        """The settings of circuit breakers; None when the tenant has none."""
        return self.compiled.breaker

    @property
    def give_backs(self) -> GiveBackBounds | None:
        """The bounds of what outcomes give back; None when the file names none."""
        return self.compiled.give_backs

    @property
    def autonomy_levels(self) -> Autonomy:
        """The autonomy in the file, without overrides."""
        return self.compiled.autonomy

    @property
    def agent_register(self) -> AgentRegister | None:
        """The registered agents; None for a tenant that registers none and demands none."""
        return self.compiled.agents

    @property
    def permits_always(self) -> bool:
        """Whether each allow carries a permit, also if the caller did not ask for it."""
        return self.compiled.permits_always

    @property
    def executors_report(self) -> bool:
        """Whether only executors and the holders of permits may report outcomes."""
        return self.compiled.executors_report

    def approval_seconds(self, tool: str) -> int:
        """Return how many seconds people have to decide on an action with the tool."""
        approval = self.approvals.get(tool)
        return approval.expires_after_seconds if approval else APPROVAL_TTL_SECONDS_DEFAULT

    @cached_property
    def data_json(self) -> bytes:
        """JSON of `as_data`. Kept, because each reload writes the documents of all tenants."""
        return exact_json(self.as_data())

    @cached_property
    def tool_settings_json(self) -> bytes:
        """JSON of `tool_settings`, kept likewise."""
        return exact_json(tool_settings(self))

    def as_data(self) -> dict[str, Any]:
        """Return the document that policy reads at ``data.tenants[tenant]``: lists sorted, every key present.

        Only agents, agents_mode and delegation are absent from the data of a file that does not set them.
        """
        return {
            "default_mode": self.default_mode,
            "allowed_tools": sorted(self.allowed_tools),
            "write_tools": sorted(self.write_tools),
            **agents_data(self.agents, self.agents_mode),
            **({"delegation": self.delegation.as_data()} if self.delegation is not None else {}),
            "approvals": {tool: approval_data(approval) for tool, approval in self.approvals.items()},
            "approver_groups": {role: sorted(persons) for role, persons in self.approver_groups.items()},
            "autonomy": autonomy_data(self.autonomy),
            "budgets": {budget.id: budget_data(budget) for budget in self.all_budgets},
            "currency": self.currency,
            "limits": limits_data(self.limits),
            "permits": self.permits,
            # Not for rules: it makes the revision change.
            **({"outcomes": self.outcomes} if self.outcomes != "caller" else {}),
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
    """Return the tool's data. `bind` and `sensitive` are not for rules: they make the revision change with them."""
    schema = {} if spec.params_schema is None else {"params_schema": spec.params_schema}
    bind = {} if spec.bind is None else {"bind": spec.bind.as_data()}
    return {**schema, **bind, "sensitive": sorted(spec.sensitive), "cost_micros": spec.cost_micros}
