"""The part of ControlServicer about the register of agents: ListAgents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.controls.agents.service import AgentState
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.to_proto import AUTONOMY, timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import control_pb2, control_pb2_grpc, decision_pb2

if TYPE_CHECKING:
    from placet.controls.agents.service import AgentListing, ListedAgent
    from placet.transport.grpc.context import Context

_STATES: Final = enum_codec(AgentState, control_pb2.AgentState)


class AgentMethods(control_pb2_grpc.ControlServiceServicer):
    """Lists the agents of a tenant."""

    agents: AgentListing

    async def ListAgents(
        self, request: control_pb2.ListAgentsRequest, _context: Context
    ) -> control_pb2.ListAgentsResponse:
        """List the registered agents, and the agents that are used without an entry."""
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        validator.require_valid()
        found = await self.agents.list(tenant)
        return control_pb2.ListAgentsResponse(
            agents=[_agent_to_proto(agent) for agent in found.agents], strict=found.strict, unlisted=found.unlisted
        )


def _agent_to_proto(agent: ListedAgent) -> control_pb2.Agent:
    entry = agent.entry
    level = decision_pb2.AUTONOMY_UNSPECIFIED if entry.autonomy is None else AUTONOMY.to_wire[entry.autonomy]
    return control_pb2.Agent(
        id=entry.id,
        state=_STATES.to_wire[agent.state],
        owner=entry.owner,
        purpose=entry.purpose,
        runtimes=entry.runtimes,
        expires_at=timestamp(entry.expires_at_us) if entry.expires_at_us else None,
        autonomy=level,
        last_used_at=timestamp(agent.last_used_at_us) if agent.last_used_at_us else None,
    )
