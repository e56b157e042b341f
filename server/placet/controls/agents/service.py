"""The use case of the register: list the agents with their last use, so that orphans are seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from placet.audit.recent_names import AGENTS_READ_MAX
from placet.controls.agents.model import AgentEntry, AgentRegister
from placet.kernel.policy_files import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.audit.ports import DecisionStore
    from placet.controls.agents.ports import AgentSource
    from placet.kernel.clock import Clock
    from placet.kernel.policy_files import CurrentFiles

_DAY_US: Final = 86_400_000_000
UNUSED_DAYS: Final = 30
"""After so many days without a decision a registered agent is unused."""
LAST_USE_DAYS: Final = 90
"""How far back the last use is looked for: the query reads the index of the decisions of these days."""
UNREGISTERED_LISTED_MAX: Final = 500
"""Agents without an entry that one answer lists, those that were used last. It stays far below the limit of a
message."""


class AgentState(StrEnum):
    """What an operator should know of an agent. The first that holds."""

    EXPIRED = "expired"
    UNREGISTERED = "unregistered"
    """Used, but without an entry."""
    UNUSED = "unused"
    """Registered, but not used for UNUSED_DAYS."""
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class ListedAgent:
    """An entry, or an agent without one (then only `id` of the entry is set), with its last use."""

    entry: AgentEntry
    state: AgentState
    last_used_at_us: int
    """When the newest decision about the agent was made; 0 for none in LAST_USE_DAYS."""


@dataclass(frozen=True, slots=True)
class AgentList:
    """The agents of a tenant: first the entries, as the file has them, then agents without one, newest use first."""

    agents: Sequence[ListedAgent] = ()
    strict: bool = False
    unlisted: int = 0
    """How many agents without an entry are left out, at least."""


@dataclass(frozen=True, slots=True)
class AgentListing:
    """The use case. Raises LedgerUnavailableError when the ledger cannot be read."""

    ledger: DecisionStore
    policies: CurrentFiles[AgentSource]
    clock: Clock
    empty: AgentRegister = field(default_factory=lambda: AgentRegister((), strict=False))

    async def list(self, tenant: str) -> AgentList:
        """Return the agents in the tenant's file, and those in the decisions of the last LAST_USE_DAYS."""
        now_us = self.clock.wall_us()
        file = files_of(self.policies).get(tenant)
        register = (file.agent_register if file is not None else None) or self.empty
        used = await self.ledger.agents_last_used(tenant, now_us - LAST_USE_DAYS * _DAY_US, AGENTS_READ_MAX)
        last_used, unregistered = _by_entry(register, used)
        listed = [
            ListedAgent(entry, _state(entry, last_used.get(entry.id, 0), now_us), last_used.get(entry.id, 0))
            for entry in register.entries
        ]
        unregistered = sorted(unregistered, key=lambda pair: (-pair[1], pair[0]))
        listed += [
            ListedAgent(AgentEntry(agent), AgentState.UNREGISTERED, at_us)
            for agent, at_us in unregistered[:UNREGISTERED_LISTED_MAX]
        ]
        return AgentList(listed, register.strict, max(0, len(unregistered) - UNREGISTERED_LISTED_MAX))


def _by_entry(register: AgentRegister, used: Mapping[str, int]) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """Return the last use of each entry by its id, and the agents without an entry with theirs."""
    last_used: dict[str, int] = {}
    unregistered: list[tuple[str, int]] = []
    for agent, at_us in used.items():
        entry = register.entry_of(agent)
        if entry is None:
            unregistered.append((agent, at_us))
        else:
            last_used[entry.id] = max(at_us, last_used.get(entry.id, 0))
    return last_used, unregistered


def _state(entry: AgentEntry, last_used_at_us: int, now_us: int) -> AgentState:
    if entry.expired(now_us):
        return AgentState.EXPIRED
    unused = last_used_at_us < now_us - UNUSED_DAYS * _DAY_US
    return AgentState.UNUSED if unused else AgentState.ACTIVE
