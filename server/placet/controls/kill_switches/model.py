"""Kill switches: what each of them stops. Nothing that one covers is allowed, whatever policy says."""

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
    """What a kill switch stops, from the widest to the narrowest."""

    GLOBAL = "global"
    TENANT = "tenant"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    RUN = "run"


_WILD = re.compile(r"[*?.]")
NAME_CHARS_MIN: Final = 3
"""Fewer characters in a row, beside wildcards and dots, name no tool."""
WIDTH = {scope: width for width, scope in enumerate(KillScope)}
"""Scope -> its place from the widest on."""


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """One kill switch.

    `tenant` "" is every tenant, always so for the scope global and never for tenant. `value` is the tool (``*`` and
    ``?`` stand for any text and any character), agent, workflow or run; "" for global and tenant. `actor` is who set
    it. `expires_at_us` 0 is never.
    """

    switch_id: str
    scope: KillScope
    tenant: str
    value: str
    reason: str
    actor: str
    set_at_us: int
    expires_at_us: int = 0

    @property
    def rule_id(self) -> str:
        """The id that a decision carries when this switch stops it."""
        return rule_ids.KILL_SWITCH_PREFIX + self.scope

    def to_json(self) -> dict[str, Any]:
        """The switch as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> KillSwitch:
        """The switch that `to_json` wrote."""
        return KillSwitch(**{**said, "scope": KillScope(said["scope"])})


def expired(switch: KillSwitch, now_us: int) -> bool:
    """Whether its time is over."""
    return 0 < switch.expires_at_us <= now_us


def covers(switch: KillSwitch, proposal: Proposal, now_us: int) -> bool:
    """Whether the switch stops the action. An agent is stopped where it acts through others, too."""
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
    """Whether the switch stops all of a tenant or more, or most of it.

    So it is by its scope, by a tool pattern that names next to nothing (``*``, ``*.*``, ``*e*``), by one of no tenant
    whose first name part is not written out (``*stripe*``; ``stripe.*`` is), or by one that covers more than half of
    the tools of a tenant; `tools` are those of each tenant that the switch reaches.
    """
    if switch.scope is not KillScope.TOOL:
        return switch.scope in {KillScope.GLOBAL, KillScope.TENANT}
    if not is_glob(switch.value):
        return False
    if max(map(len, _WILD.split(switch.value))) < NAME_CHARS_MIN:
        return True
    if not switch.tenant and is_glob(switch.value.partition(".")[0]):
        return True
    return any(2 * sum(glob_matches(switch.value, tool) for tool in each) > len(each) for each in tools)


def covering(switches: Iterable[KillSwitch], proposal: Proposal, now_us: int) -> KillSwitch | None:
    """The widest switch that stops the action, the oldest of those; None when none does."""
    found = [switch for switch in switches if covers(switch, proposal, now_us)]
    return min(found, key=lambda s: (WIDTH[s.scope], s.set_at_us, s.switch_id), default=None)


def kill_finding(switch: KillSwitch) -> Finding:
    """The deny."""
    details = {"switch_id": switch.switch_id, "value": switch.value, "reason": switch.reason, "actor": switch.actor}
    return Finding(Effect.DENY, switch.rule_id, rule_ids.CORE_REASONS[switch.rule_id], details)


def _names(scope: KillScope, proposal: Proposal) -> tuple[str, ...]:
    if scope is KillScope.AGENT:
        return proposal.identity.agent, *proposal.identity.delegation
    return (proposal.run.workflow,)
