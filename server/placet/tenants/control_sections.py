"""The sections of a tenant's file that limit runs and agents: `limits` and `autonomy`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictInt, model_validator

from placet.budgets.give_backs import GiveBackBounds
from placet.budgets.run_limits import RunLimits
from placet.controls.autonomy.model import Autonomy, AutonomyLevel, AutonomyRule, ObserveMode
from placet.controls.breakers.model import BreakerEffect, BreakerScope, BreakerSpec
from placet.kernel.diagnostics import DocumentDiagnostic
from placet.kernel.limits import (
    AUTONOMY_RULES_MAX,
    GIVE_BACK_PERCENT,
    GIVE_BACK_PERCENT_MAX,
    GIVE_BACKS_PER_RUN,
    GIVE_BACKS_PER_RUN_MAX,
    RUN_SECONDS_MAX,
)
from placet.kernel.money import scaled
from placet.tenants.fields import (
    PER_MILLE_PLACES,
    Count,
    Label,
    Principal,
    Section,
    Share,
    ToolGlob,
    at_least_one,
    refuse,
)
from placet.tenants.sections import Quorum

Seconds = Annotated[StrictInt, Field(ge=1, le=RUN_SECONDS_MAX)]


class WorkflowLimits(Section):
    """The limits of one run. A key that is left out means no limit; in a workflow, the tenant's limit."""

    max_tool_calls: Count | None = None
    max_tokens: Count | None = None
    max_duration_seconds: Seconds | None = None
    max_same_action: Count | None = None


class BreakerSection(Section):
    """When a circuit breaker opens, for how long, and its effect."""

    failures_in_a_row: Count | None = None
    error_rate: Share | None = None
    min_calls: Count = 10
    window_seconds: Seconds = 60
    open_seconds: Seconds = 30
    effect: BreakerEffect = BreakerEffect.DENY
    scopes: Annotated[tuple[BreakerScope, ...], AfterValidator(at_least_one)] = (BreakerScope.RUN, BreakerScope.TOOL)

    @model_validator(mode="after")
    def _opens(self) -> BreakerSection:
        if self.failures_in_a_row is None and self.error_rate is None:
            refuse([DocumentDiagnostic((), "would never open", "name failures_in_a_row, error_rate, or both")])
        return self

    def spec(self) -> BreakerSpec:
        """Return the section as a value."""
        rate = None if self.error_rate is None else scaled(self.error_rate, PER_MILLE_PLACES)
        return BreakerSpec(
            self.failures_in_a_row,
            rate,
            self.min_calls,
            self.window_seconds,
            self.open_seconds,
            self.effect,
            tuple(scope for scope in BreakerScope if scope in self.scopes),
        )


class GiveBacksSection(Section):
    """How much reported outcomes may give back."""

    max_per_run: Annotated[StrictInt, Field(ge=0, le=GIVE_BACKS_PER_RUN_MAX)] = GIVE_BACKS_PER_RUN
    max_percent: Annotated[StrictInt, Field(ge=0, le=GIVE_BACK_PERCENT_MAX)] = GIVE_BACK_PERCENT

    def bounds(self) -> GiveBackBounds:
        """Return the section as a value."""
        return GiveBackBounds(self.max_per_run, self.max_percent)


class LimitsSection(WorkflowLimits):
    """The limits of every run, other limits for runs of some workflows, circuit breakers, and give-backs."""

    breaker: BreakerSection | None = None
    give_backs: GiveBacksSection | None = None
    workflows: Mapping[Label, WorkflowLimits] = Field(default_factory=dict)

    def of(self, workflow: str) -> RunLimits:
        """Return the limits of a run of the workflow. Keys that it leaves out have the value of the tenant."""
        own = self.workflows.get(workflow, WorkflowLimits())
        return RunLimits(
            own.max_tool_calls or self.max_tool_calls,
            own.max_tokens or self.max_tokens,
            own.max_duration_seconds or self.max_duration_seconds,
            own.max_same_action or self.max_same_action,
        )


class RuleSection(Section):
    """A level for the actions of a workflow, tool and agent. At least one of them is set."""

    workflow: Label | None = None
    tool: ToolGlob | None = None
    agent: Principal | None = None
    level: AutonomyLevel

    @model_validator(mode="after")
    def _names_something(self) -> RuleSection:
        if self.workflow is None and self.tool is None and self.agent is None:
            refuse(
                [DocumentDiagnostic((), "names no workflow, tool or agent", "name one, or write the level as default")]
            )
        return self

    def rule(self) -> AutonomyRule:
        """Return the section as a value."""
        return AutonomyRule(self.level, self.workflow or "", self.tool or "", self.agent or "")


class AutonomySection(Section):
    """How far agents may act without a person."""

    default: AutonomyLevel = AutonomyLevel.EXECUTE
    rules: Annotated[tuple[RuleSection, ...], Field(max_length=AUTONOMY_RULES_MAX)] = ()
    approval: Quorum = Quorum()
    observe: ObserveMode = ObserveMode.DENY

    @model_validator(mode="after")
    def _one_rule_each(self) -> AutonomySection:
        refuse(_repeated_rules(self.rules))
        return self

    def value(self) -> Autonomy:
        """Return the section as a value."""
        rules = (AutonomyRule(self.default), *(rule.rule() for rule in self.rules))
        return Autonomy(rules, self.approval.requirement(), self.observe)


def _repeated_rules(rules: tuple[RuleSection, ...]) -> Iterator[DocumentDiagnostic]:
    seen: set[tuple[str, str, str]] = set()
    for index, section in enumerate(rules):
        rule = section.rule()
        if rule.key in seen:
            yield DocumentDiagnostic(("rules", index), f"{rule.selector_id} has a level already", "keep one of the two")
        seen.add(rule.key)


def limits_data(limits: LimitsSection) -> dict[str, Any]:
    """Return the limits as data for policy. Those of workflows are complete; null means no limit."""
    return {
        **_run_data(limits.of("")),
        "breaker": _breaker_data(limits.breaker.spec()) if limits.breaker else {},
        "workflows": {name: _run_data(limits.of(name)) for name in limits.workflows},
        # Not for rules: it makes the revision change.
        **({"give_backs": limits.give_backs.model_dump()} if limits.give_backs else {}),
    }


def autonomy_data(autonomy: AutonomySection) -> dict[str, Any]:
    """Return the autonomy as data for policy."""
    return {
        "default": autonomy.default.value,
        "rules": [section.rule().to_json() for section in autonomy.rules],
        "approval": {"quorum": autonomy.approval.quorum, "approver_roles": sorted(autonomy.approval.approver_roles)},
        "observe": autonomy.observe.value,
    }


def _run_data(limits: RunLimits) -> dict[str, Any]:
    return {
        "max_tool_calls": limits.max_tool_calls,
        "max_tokens": limits.max_tokens,
        "max_duration_seconds": limits.max_duration_seconds,
        "max_same_action": limits.max_same_action,
    }


def _breaker_data(spec: BreakerSpec) -> dict[str, Any]:
    return {
        "failures_in_a_row": spec.failures_in_a_row,
        "error_rate_per_mille": spec.error_rate_per_mille,
        "min_calls": spec.min_calls,
        "window_seconds": spec.window_seconds,
        "open_seconds": spec.open_seconds,
        "effect": spec.effect.value,
        "scopes": [scope.value for scope in spec.scopes],
    }
