"""The part of a tenant's file that the register of agents needs, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.controls.agents.model import AgentRegister


class AgentSource(Protocol):
    """The registered agents of one tenant."""

    @property
    def agent_register(self) -> AgentRegister | None:
        """The register; None for a tenant that registers no agents and demands none."""
        ...
