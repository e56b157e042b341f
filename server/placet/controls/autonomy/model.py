"""How far agents may go on their own, per workflow, tool and agent; and what becomes of a write that goes further.

Autonomy only ever narrows: what policy denies stays denied at every level.
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
    from collections.abc import Iterable, Mapping

    from placet.kernel.model import ApprovalRequirement, Proposal


_PLAIN: Final = "*?/:@"
"""Characters that a selector's id shows as they are, beside letters, digits and ``_.-~``."""


class AutonomyLevel(StrEnum):
    """What an agent may do with a write, the lowest first. `rank` orders them."""

    OBSERVE_ONLY = "observe_only"
    DRAFT_ONLY = "draft_only"
    EXECUTE_WITH_APPROVAL = "execute_with_approval"
    EXECUTE = "execute"

    @property
    def rank(self) -> int:
        """0 for the lowest."""
        return _RANK[self]


_RANK: Final = {level: rank for rank, level in enumerate(AutonomyLevel)}


class ObserveMode(StrEnum):
    """How observe_only answers a write: a deny, or a deny that says what it would have been (`shadow_effect`)."""

    DENY = "deny"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class AutonomyRule:
    """A level for the actions of a workflow, tool (``*`` and ``?`` are taken) and agent; "" for any of them.

    `source` says where it comes from: ``agent_policy``, or ``override``, which was set while the server ran. `key` is
    the same for every spelling of workflow and agent; an override takes the place of the file's rule with the same.
    """

    level: AutonomyLevel
    workflow: str = ""
    tool: str = ""
    agent: str = ""
    source: str = "agent_policy"
    key: tuple[str, str, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Fold the names once: every decision asks for them. One that shows nothing must not come to mean any name."""
        key = folded(self.workflow) or self.workflow, self.tool, folded(self.agent) or self.agent
        object.__setattr__(self, "key", key)

    @property
    def selector(self) -> tuple[str, str, str]:
        """What it is for, as it was spelled."""
        return self.workflow, self.tool, self.agent

    @property
    def selector_id(self) -> str:
        """The selector as an id: ``tool=stripe.refund,workflow=payments``, ``default`` when it is for all."""
        named = (("agent", self.agent), ("tool", self.tool), ("workflow", self.workflow))
        return ",".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in named if value) or "default"

    def to_json(self) -> dict[str, Any]:
        """The rule as a JSON object, without its source."""
        return {"level": self.level.value, "workflow": self.workflow, "tool": self.tool, "agent": self.agent}

    @staticmethod
    def from_json(said: Mapping[str, Any], source: str = "override") -> AutonomyRule:
        """The rule that `to_json` wrote."""
        return AutonomyRule(AutonomyLevel(said["level"]), said["workflow"], said["tool"], said["agent"], source)


@dataclass(frozen=True, slots=True)
class Autonomy:
    """A tenant's autonomy by its file. `rules` hold the default as the one that is for all."""

    rules: tuple[AutonomyRule, ...] = (AutonomyRule(AutonomyLevel.EXECUTE),)
    approval: ApprovalRequirement | None = None
    observe: ObserveMode = ObserveMode.DENY


@dataclass(frozen=True, slots=True)
class Restriction:
    """What becomes of a policy's answer. `shadow_effect` is what it would have been, None when that is not told."""

    finding: Finding
    shadow_effect: Effect | None = None


def resolve(autonomy: Autonomy, overrides: Iterable[AutonomyRule], proposal: Proposal) -> AutonomyRule:
    """The rule that holds for the action: the most specific, and of equals the lowest.

    Naming more of workflow, tool and agent is more specific; among rules that name the same of these, so is a tool
    named in full before a pattern, and the longer pattern. An override takes the place of the file's rule for the same.
    """
    names = folded(proposal.run.workflow), proposal.action.tool, folded(proposal.identity.agent)
    by_key = {rule.key: rule for rule in autonomy.rules if _is_for(rule, names)}
    set_later = [rule for rule in overrides if _is_for(rule, names)]
    by_key |= {rule.key: rule for rule in sorted(set_later, key=lambda rule: rule.level.rank, reverse=True)}
    found = tuple(by_key.values())
    if len(found) == 1:
        return found[0]
    if not found:
        return AutonomyRule(AutonomyLevel.OBSERVE_ONLY)
    most = max(sum(named(rule)) for rule in found)
    closest = {fields: max(closeness(rule) for rule in found if named(rule) == fields) for fields in map(named, found)}
    best = [rule for rule in found if sum(named(rule)) == most and closeness(rule) == closest[named(rule)]]
    return min(best, key=lambda rule: (rule.level.rank, rule.selector))


def is_higher(before: AutonomyLevel, after: AutonomyLevel) -> bool:
    """Whether the change gives agents more: it then needs a second person."""
    return after.rank > before.rank


def restrict(
    rule: AutonomyRule, autonomy: Autonomy, effect: Effect, tool_class: ToolClass, *, dry_run: bool
) -> Restriction | None:
    """What becomes of an allow or require_approval of a write; None when it stands.

    Reads pass at every level, dry runs from draft_only on.
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
    """`names` are workflow, tool and agent of the action, those of people and workflows folded."""
    (workflow, tool, agent), (own_workflow, own_tool, own_agent) = names, rule.key
    return (
        (not own_workflow or own_workflow == workflow)
        and (not own_tool or glob_matches(own_tool, tool))
        and (not own_agent or own_agent == agent)
    )


def named(rule: AutonomyRule) -> tuple[bool, bool, bool]:
    """Which of workflow, tool and agent the rule names."""
    return bool(rule.workflow), bool(rule.tool), bool(rule.agent)


def closeness(rule: AutonomyRule) -> tuple[bool, int]:
    """How closely the rule names its tool."""
    return not is_glob(rule.tool), len(rule.tool.replace("*", "").replace("?", ""))
