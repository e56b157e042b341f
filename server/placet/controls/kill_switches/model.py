"""Kill switches and the actions that they cover. An action that a switch covers is denied, whatever policy says."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from placet.kernel import rule_ids
from placet.kernel.model import Effect, Finding
from placet.matching.globs import glob_matches, is_glob
from placet.matching.names import same_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from placet.kernel.model import Proposal


class KillScope(StrEnum):
    """The scopes of kill switches, from the widest to the narrowest."""

    GLOBAL = "global"
    TENANT = "tenant"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    RUN = "run"


_WILD = re.compile(r"[*?.]")
NAME_CHARS_MIN: Final = 3
"""A tool pattern needs so many characters in a row, besides wildcards and dots, to select tools by name."""
WIDTH = {scope: width for width, scope in enumerate(KillScope)}
"""Scope -> its position; 0 for the widest."""


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """One kill switch."""

    switch_id: str
    scope: KillScope
    tenant: str
    """The tenant; "" for every tenant. Always "" for the scope global, never for the scope tenant."""
    value: str
    """The tool (a pattern with ``*`` and ``?``), agent, workflow or run; "" for the scopes global and tenant."""
    reason: str
    actor: str
    """The person who set it."""
    set_at_us: int
    expires_at_us: int = 0
    """When it stops to apply; 0 for never."""

    @property
    def rule_id(self) -> str:
        """The rule_id of decisions that the switch denies."""
        return rule_ids.KILL_SWITCH_PREFIX + self.scope

    def to_json(self) -> dict[str, Any]:
        """Return the switch as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> KillSwitch:
        """Return the switch of an object that `to_json` made."""
        return KillSwitch(**{**body, "scope": KillScope(body["scope"])})


def expired(switch: KillSwitch, now_us: int) -> bool:
    """Return whether the switch has expired."""
    return 0 < switch.expires_at_us <= now_us


def covers(switch: KillSwitch, proposal: Proposal, now_us: int) -> bool:
    """Return whether the switch covers the action. A switch of an agent also covers actions that it delegated."""
    tenant = proposal.identity.tenant
    if expired(switch, now_us) or (switch.tenant and switch.tenant != tenant):
        return False
    if switch.scope is KillScope.GLOBAL:
        return True
    if switch.scope is KillScope.TENANT:
        return switch.tenant == tenant
    if switch.scope is KillScope.TOOL:
        return glob_matches(switch.value, proposal.action.tool)
    if switch.scope is KillScope.RUN:
        return switch.value == proposal.run.run_id
    return any(same_name(switch.value, name) for name in _names(switch.scope, proposal))


def stops_everything(switch: KillSwitch, tools: Iterable[Collection[str]] = ()) -> bool:
    """Return whether the switch covers all or most actions of a tenant. Clearing such a switch takes two people.

    It does in these cases. `tools` are the tools of each tenant that the switch reaches.

    - Its scope is global or tenant.
    - Its tool pattern has less than NAME_CHARS_MIN plain characters in a row: ``*``, ``*.*``, ``*e*``.
    - It belongs to no tenant and the first part of its tool pattern is a pattern: ``*stripe*``, but not ``stripe.*``.
    - Its tool pattern covers more than half of the tools of a tenant.
    """
    if switch.scope is not KillScope.TOOL:
        return switch.scope in {KillScope.GLOBAL, KillScope.TENANT}
    if not is_glob(switch.value):
        return False
    if max(map(len, _WILD.split(switch.value))) < NAME_CHARS_MIN:
        return True
    if not switch.tenant and is_glob(switch.value.partition(".")[0]):
        return True
    return any(2 * sum(glob_matches(switch.value, tool) for tool in names) > len(names) for names in tools)


def covering(switches: Iterable[KillSwitch], proposal: Proposal, now_us: int) -> KillSwitch | None:
    """Return the widest switch that covers the action, and of equals the oldest; None when none covers it."""
    matching = [switch for switch in switches if covers(switch, proposal, now_us)]
    return min(matching, key=lambda s: (WIDTH[s.scope], s.set_at_us, s.switch_id), default=None)


def kill_finding(switch: KillSwitch) -> Finding:
    """Return the deny of the switch."""
    details = {"switch_id": switch.switch_id, "value": switch.value, "reason": switch.reason, "actor": switch.actor}
    return Finding(Effect.DENY, switch.rule_id, rule_ids.CORE_REASONS[switch.rule_id], details)


def _names(scope: KillScope, proposal: Proposal) -> tuple[str, ...]:
    if scope is KillScope.AGENT:
        return proposal.identity.agent, *proposal.identity.delegation
    return (proposal.run.workflow,)
