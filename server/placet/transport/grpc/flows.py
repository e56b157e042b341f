"""Assigns calls to the flows that share a queue fairly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.kernel.policy_files import files_of
from placet.scheduling.fair_queue import Flow
from placet.transport.grpc.interceptors.caller import current_caller

if TYPE_CHECKING:
    from placet.decision.ports import PolicySource


@dataclass(frozen=True, slots=True)
class Flows:
    """The flows of calls: one for each tenant and caller.

    Tenants without a policy file share one flow, so that invented tenant names get no extra turns.
    """

    policies: PolicySource

    def of(self, tenant: str) -> Flow:
        """Return the flow of the current call for the tenant."""
        return Flow(tenant if tenant in files_of(self.policies) else "", current_caller().peer)
