"""The registered agents of a tenant, and why an agent may not act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from placet.controls.autonomy.model import AutonomyRule
from placet.kernel import rule_ids
from placet.kernel.clock import rfc3339
from placet.kernel.model import Effect, Finding
from placet.matching.globs import glob_matches, is_glob
from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.controls.autonomy.model import AutonomyLevel
    from placet.kernel.model import Caller

SOURCE: Final = "agents"
"""The `AutonomyRule.source` of a level that an agent's entry sets."""


class AgentEntry(Struct, frozen=True):
    """One entry of the register: an agent, or all agents that a pattern matches."""

    id: str
    """An agent, or a pattern with ``*`` and ``?``."""
    owner: str = ""
    """Who answers for the agent; empty if the entry names none."""
    purpose: str = ""
    runtimes: tuple[str, ...] = ()
    """Callers that may run the agent, as ids or patterns; empty for any caller."""
    expires_at_us: int = 0
    """From when on the agent may not act, in microseconds since 1970; 0 for never."""
    autonomy: AutonomyLevel | None = None
    """The highest level of the agent; None for no bound."""

    def expired(self, now_us: int) -> bool:
        """Return whether the agent may no longer act."""
        return bool(self.expires_at_us) and now_us >= self.expires_at_us

    def may_run(self, caller: Caller) -> bool:
        """Return whether the caller may run the agent. A caller that did not prove who it is may run any."""
        if not self.runtimes or not caller.method:
            return True
        return any(pattern == caller.name or glob_matches(pattern, caller.name) for pattern in self.runtimes)


class AgentRegister:
    """The entries of one tenant. An agent has the entry of its name, else that of the closest pattern."""

    def __init__(self, entries: Iterable[AgentEntry], *, strict: bool) -> None:
        self.entries = tuple(entries)
        self.strict = strict
        """Whether an agent must be registered, by an entry with an owner."""
        self._by_name = {folded(entry.id): entry for entry in self.entries if not is_glob(entry.id)}
        patterns = [entry for entry in self.entries if is_glob(entry.id)]
        self._patterns = [(folded(entry.id), entry) for entry in sorted(patterns, key=_distance)]

    def entry_of(self, agent: str) -> AgentEntry | None:
        """Return the entry of the agent; None for an agent that is not registered."""
        name = folded(agent)
        entry = self._by_name.get(name)
        if entry is not None:
            return entry
        return next((entry for pattern, entry in self._patterns if glob_matches(pattern, name)), None)

    def denial(self, agent: str, caller: Caller, now_us: int) -> Finding | None:
        """Return why the agent may not act; None when it may."""
        entry = self.entry_of(agent)
        if entry is None:
            return _deny(rule_ids.AGENT_UNKNOWN, {}) if self.strict else None
        details: dict[str, Any] = {"registered_as": entry.id}
        if entry.expired(now_us):
            return _deny(rule_ids.AGENT_EXPIRED, {**details, "expired_at": rfc3339(entry.expires_at_us)})
        if self.strict and not entry.owner:
            return _deny(rule_ids.AGENT_WITHOUT_OWNER, details)
        if not entry.may_run(caller):
            return _deny(rule_ids.RUNTIME_NOT_ALLOWED, {**details, "caller": caller.name})
        return None

    def limited(self, rule: AutonomyRule, agent: str) -> AutonomyRule:
        """Return the rule, or one with the level of the agent's entry if that is lower."""
        entry = self.entry_of(agent)
        if entry is None or entry.autonomy is None or entry.autonomy.rank >= rule.level.rank:
            return rule
        return AutonomyRule(entry.autonomy, agent=entry.id, source=SOURCE)


def _distance(entry: AgentEntry) -> tuple[int, str]:
    """Sort the closest pattern first: the one with the most plain characters."""
    return -len(entry.id.replace("*", "").replace("?", "")), entry.id


def _deny(rule_id: str, details: dict[str, Any]) -> Finding:
    return Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details)
