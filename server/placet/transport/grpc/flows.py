"""Whose turn a call takes in a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.kernel.policy_files import files_of
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
        return Flow(tenant if tenant in files_of(self.policies) else "", context.peer())
