"""The agents of a tenant. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from placet.sdk.decision import Autonomy


class AgentState(StrEnum):
    """What an operator should know of an agent."""

    UNSPECIFIED = "unspecified"
    """A state that this version of the SDK does not know."""
    ACTIVE = "active"
    UNUSED = "unused"
    """Registered, but not used for 30 days."""
    EXPIRED = "expired"
    UNREGISTERED = "unregistered"
    """Used, but not registered."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An entry of the tenant's register of agents, or an agent that is used without one."""

    id: str
    """An agent, or a pattern with ``*`` and ``?``."""
    state: AgentState
    owner: str
    """Who answers for the agent. Empty if the entry names none."""
    purpose: str
    runtimes: tuple[str, ...]
    """Callers that may run the agent, as ids or patterns. Empty for any caller."""
    expires_at: datetime | None
    """From when on the agent may not act. None for never."""
    autonomy: Autonomy
    """The highest level of the agent. UNSPECIFIED for no bound."""
    last_used_at: datetime | None
    """When the newest decision about the agent was made. None if there is none in the last 90 days."""


@dataclass(frozen=True, slots=True)
class AgentList:
    """The agents of a tenant: first the registered ones, then those without an entry, newest use first."""

    agents: tuple[Agent, ...]
    strict: bool
    """True if the tenant admits only registered agents."""
    unlisted: int
    """How many agents without an entry are left out, at least."""
