"""Autonomy: how far agents may act without a person, by workflow, tool and agent.

A write above the agent's level is denied, or requires an approval. Autonomy only narrows: a deny of policy stays a deny
at every level.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from placet.kernel import rule_ids
from placet.kernel.model import Effect, Finding, ToolClass
from placet.matching.globs import glob_matches, is_glob
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from placet.kernel.model import ApprovalRequirement, Proposal


_PLAIN: Final = "*?/:@"
"""Characters that are not escaped in a selector's id, besides letters, digits and ``_.-~``."""
_ANY: Final = ("", "", "")
"""The key of the rule that matches every action."""


class AutonomyLevel(StrEnum):
    """How far an agent may go with a write. The lowest level comes first."""

    OBSERVE_ONLY = "observe_only"
    DRAFT_ONLY = "draft_only"
    EXECUTE_WITH_APPROVAL = "execute_with_approval"
    EXECUTE = "execute"

    @property
    def rank(self) -> int:
        """The position of the level; 0 for the lowest."""
        return _RANK[self]


_RANK: Final = {level: rank for rank, level in enumerate(AutonomyLevel)}


class ObserveMode(StrEnum):
    """How observe_only denies a write. `shadow` adds the effect without autonomy to the deny (`shadow_effect`)."""

    DENY = "deny"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class AutonomyRule:
    """A level for the actions of a workflow, tool and agent. An empty field matches any."""

    level: AutonomyLevel
    workflow: str = ""
    tool: str = ""
    """A tool, or a pattern with ``*`` and ``?``."""
    agent: str = ""
    source: str = "agent_policy"
    """``agent_policy`` for a rule of the tenant's file, ``override`` for one that people set while the server runs."""
    key: tuple[str, str, str] = field(init=False, compare=False, repr=False)
    """Folded workflow, tool and folded agent. An override replaces the file's rule with the same key."""

    def __post_init__(self) -> None:
        """Fold the names once, because every decision reads them.

        A name that folds to "" keeps its spelling: otherwise it would match any name.
        """
        key = folded(self.workflow) or self.workflow, self.tool, folded(self.agent) or self.agent
        object.__setattr__(self, "key", key)

    @property
    def selector(self) -> tuple[str, str, str]:
        """Workflow, tool and agent as they are spelled."""
        return self.workflow, self.tool, self.agent

    @property
    def selector_id(self) -> str:
        """The selector as an id: ``tool=stripe.refund,workflow=payments``, or ``default`` when all fields are empty."""
        fields = (("agent", self.agent), ("tool", self.tool), ("workflow", self.workflow))
        return ",".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in fields if value) or "default"

    def to_json(self) -> dict[str, Any]:
        """Return the rule as a JSON object, without its source."""
        return {"level": self.level.value, "workflow": self.workflow, "tool": self.tool, "agent": self.agent}

    @staticmethod
    def from_json(body: Mapping[str, Any], source: str = "override") -> AutonomyRule:
        """Return the rule of an object that `to_json` made."""
        return AutonomyRule(AutonomyLevel(body["level"]), body["workflow"], body["tool"], body["agent"], source)


@dataclass(frozen=True, slots=True)
class Autonomy:
    """The autonomy in a tenant's file."""

    rules: tuple[AutonomyRule, ...] = (AutonomyRule(AutonomyLevel.EXECUTE),)
    """The default is the rule whose fields are all empty."""
    approval: ApprovalRequirement | None = None
    """The approval that execute_with_approval requires."""
    observe: ObserveMode = ObserveMode.DENY


@dataclass(frozen=True, slots=True)
class Restriction:
    """The finding by which autonomy narrows a decision."""

    finding: Finding
    shadow_effect: Effect | None = None
    """The effect without autonomy, when the tenant observes in shadow mode."""


def resolve(autonomy: Autonomy, overrides: Collection[AutonomyRule], proposal: Proposal) -> AutonomyRule:
    """Return the rule that applies to the action: the most specific one, and the lowest of equals.

    A rule that sets more of workflow, tool and agent is more specific. Among rules that set the same fields, a full
    tool name is more specific than a pattern, and a longer pattern than a shorter one. An override replaces the file's
    rule with the same key.
    """
    if not overrides and len(autonomy.rules) == 1 and autonomy.rules[0].key == _ANY:
        return autonomy.rules[0]
    names = folded(proposal.run.workflow), proposal.action.tool, folded(proposal.identity.agent)
    by_key = {rule.key: rule for rule in autonomy.rules if _is_for(rule, names)}
    matching = [rule for rule in overrides if _is_for(rule, names)]
    by_key |= {rule.key: rule for rule in sorted(matching, key=lambda rule: rule.level.rank, reverse=True)}
    rules = tuple(by_key.values())
    if len(rules) == 1:
        return rules[0]
    if not rules:
        return AutonomyRule(AutonomyLevel.OBSERVE_ONLY)
    most = max(sum(named(rule)) for rule in rules)
    closest = {fields: max(closeness(rule) for rule in rules if named(rule) == fields) for fields in map(named, rules)}
    best = [rule for rule in rules if sum(named(rule)) == most and closeness(rule) == closest[named(rule)]]
    return min(best, key=lambda rule: (rule.level.rank, rule.selector))


def is_higher(before: AutonomyLevel, after: AutonomyLevel) -> bool:
    """Return whether the change raises the level. A higher level needs a second person."""
    return after.rank > before.rank


def restrict(
    rule: AutonomyRule, autonomy: Autonomy, effect: Effect, tool_class: ToolClass, *, dry_run: bool
) -> Restriction | None:
    """Return the restriction of a decision by the level, or None when the level does not restrict it.

    Reads pass at every level, and dry runs at draft_only and above.
    """
    if effect is Effect.DENY or tool_class is ToolClass.READ or rule.level is AutonomyLevel.EXECUTE:
        return None
    if rule.level is AutonomyLevel.OBSERVE_ONLY:
        return Restriction(_finding(rule, Effect.DENY), effect if autonomy.observe is ObserveMode.SHADOW else None)
    if dry_run:
        return None
    if rule.level is AutonomyLevel.DRAFT_ONLY:
        return Restriction(_finding(rule, Effect.DENY))
    if effect is Effect.REQUIRE_APPROVAL:
        return None
    return Restriction(_finding(rule, Effect.REQUIRE_APPROVAL, autonomy.approval))


def _finding(rule: AutonomyRule, effect: Effect, approval: ApprovalRequirement | None = None) -> Finding:
    rule_id = rule_ids.AUTONOMY_PREFIX + rule.level
    details: dict[str, Any] = {"rule": rule.selector_id, "source": rule.source}
    if effect is Effect.REQUIRE_APPROVAL:
        details["quorum"] = approval.quorum if approval else 1
        details["approver_roles"] = list(approval.approver_roles) if approval else []
    return Finding(effect, rule_id, rule_ids.CORE_REASONS[rule_id], details)


def _is_for(rule: AutonomyRule, names: tuple[str, str, str]) -> bool:
    """Return whether the rule matches an action. `names` are its folded workflow, its tool and its folded agent."""
    (workflow, tool, agent), (own_workflow, own_tool, own_agent) = names, rule.key
    return (
        (not own_workflow or own_workflow == workflow)
        and (not own_tool or glob_matches(own_tool, tool))
        and (not own_agent or own_agent == agent)
    )


def named(rule: AutonomyRule) -> tuple[bool, bool, bool]:
    """Return which of workflow, tool and agent the rule sets."""
    return bool(rule.workflow), bool(rule.tool), bool(rule.agent)


def closeness(rule: AutonomyRule) -> tuple[bool, int]:
    """Return how specific the rule's tool is: a full name before a pattern, then the number of plain characters."""
    return not is_glob(rule.tool), len(rule.tool.replace("*", "").replace("?", ""))
