"""The agents of a tenant from protobuf messages."""

from __future__ import annotations

from typing import Final

from placet.sdk._wire.decode import AUTONOMIES, time_from_proto
from placet.sdk.agents import Agent, AgentList, AgentState
from placet.sdk.decision import Autonomy
from placet.v1 import control_pb2

_STATES: Final = {
    number: AgentState(name.removeprefix("AGENT_STATE_").lower()) for name, number in control_pb2.AgentState.items()
}


def agent_list_from_proto(message: control_pb2.ListAgentsResponse) -> AgentList:
    """Return the agents."""
    return AgentList(tuple(map(_agent_from_proto, message.agents)), message.strict, message.unlisted)


def _agent_from_proto(message: control_pb2.Agent) -> Agent:
    return Agent(
        id=message.id,
        state=_STATES.get(message.state, AgentState.UNSPECIFIED),
        owner=message.owner,
        purpose=message.purpose,
        runtimes=tuple(message.runtimes),
        expires_at=time_from_proto(message.expires_at) if message.HasField("expires_at") else None,
        autonomy=AUTONOMIES.get(message.autonomy, Autonomy.UNSPECIFIED),
        last_used_at=time_from_proto(message.last_used_at) if message.HasField("last_used_at") else None,
    )
