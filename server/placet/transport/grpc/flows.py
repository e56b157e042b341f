"""Whose turn a call takes in a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.scheduling.fair_queue import Flow

if TYPE_CHECKING:
    from placet.decision.ports import PolicySource
    from placet.transport.grpc.context import Context


@dataclass(frozen=True, slots=True)
class Flows:
    """The flows of calls. Tenants without a file share one: names that somebody makes up get no turns of their own."""

    policies: PolicySource

    def of(self, tenant: str, context: Context) -> Flow:
        """The flow of a call for the tenant."""
        policy = self.policies.current()
        known = policy is not None and tenant in policy.agent_policies
        return Flow(tenant if known else "", context.peer())
