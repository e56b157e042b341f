"""The keys of a tenant's file and their types. `placet.tenants.policy` adds the checks between keys.

Unknown keys are refused, and every accepted key is enforced: keys that Placet will enforce later are refused as "not
enforced yet". Numbers are integers or `decimal.Decimal`, never floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictStr

from placet.kernel.limits import BUDGETS_MAX
from placet.tenants.agent_sections import Agents, AgentsMode, DelegationSection
from placet.tenants.budget_sections import SPEND_CURRENCY, BudgetEntry, SpendLimits
from placet.tenants.control_sections import AutonomySection, LimitsSection
from placet.tenants.fields import Currency, DestinationGlobs, JsonValue, Label, Persons, Section, ToolName, Tools
from placet.tenants.sections import Approval, DryRun, Environments, EvidenceRule, PiiSection, ToolSpec, approval_words


class TenantDocument(Section):
    """The sections of one tenant's file. Each section is valid, but they may contradict each other. Immutable."""

    default_mode: Literal["read_only", "read_write"] = "read_only"
    allowed_tools: Tools = ()
    write_tools: Tools = ()
    agents: Agents = Field(default_factory=dict)
    agents_mode: AgentsMode = "open"
    approvals: Mapping[ToolName, Annotated[Approval | None, BeforeValidator(approval_words)]] = Field(
        default_factory=dict
    )
    approver_groups: Mapping[Label, Persons] = Field(default_factory=dict)
    autonomy: AutonomySection = AutonomySection()
    budgets: Annotated[tuple[BudgetEntry, ...], Field(max_length=BUDGETS_MAX)] = ()
    delegation: DelegationSection | None = None
    currency: Currency = SPEND_CURRENCY
    limits: LimitsSection = LimitsSection()
    outcomes: Literal["caller", "executor"] = "caller"
    permits: Literal["always", "on_request"] = "on_request"
    pii: PiiSection = Field(default_factory=PiiSection)
    spend_limits: SpendLimits | None = None
    tools: Mapping[ToolName, ToolSpec] = Field(default_factory=dict)
    destinations: Mapping[ToolName, DestinationGlobs] = Field(default_factory=dict)
    evidence: Mapping[ToolName, EvidenceRule] = Field(default_factory=dict)
    environments: Environments | None = None
    dry_run: DryRun = Field(default_factory=DryRun)
    packs: Mapping[StrictStr, Mapping[StrictStr, JsonValue]] = Field(default_factory=dict)
