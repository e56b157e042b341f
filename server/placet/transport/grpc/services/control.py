"""The servicer of placet.v1.ControlService, composed of one part for each subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.transport.grpc.interceptors.caller import current_principal
from placet.transport.grpc.messages.to_proto import policy_status_to_proto
from placet.transport.grpc.messages.visible import visible_status
from placet.transport.grpc.services.agents import AgentMethods
from placet.transport.grpc.services.autonomy import AutonomyMethods
from placet.transport.grpc.services.budgets import BudgetMethods
from placet.transport.grpc.services.excesses import ExcessMethods
from placet.transport.grpc.services.kill_switches import KillSwitchMethods
from placet.transport.grpc.services.policy import PolicyMethods
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.budgets.service import BudgetAdmin
    from placet.controls.agents.service import AgentListing
    from placet.controls.autonomy.service import AutonomyAdmin
    from placet.controls.kill_switches.service import KillSwitches
    from placet.decision.ports import PolicySource
    from placet.outcomes.excess_service import OutcomeExcesses
    from placet.revisions.confirmations import PolicyConfirmations
    from placet.revisions.status import ServerHealth
    from placet.tenants.known_names import KnownNames
    from placet.transport.grpc.context import Context


@dataclass(frozen=True)
class ControlServicer(KillSwitchMethods, AutonomyMethods, AgentMethods, BudgetMethods, PolicyMethods, ExcessMethods):
    """Shows what the server does, and changes how it decides.

    `health` returns whether the server can decide. `permit_keys` returns the JWK set that verifies permits.
    """

    policies: PolicySource
    health: Callable[[], ServerHealth]
    permit_keys: Callable[[], str]
    kill_switches: KillSwitches
    autonomy: AutonomyAdmin
    agents: AgentListing
    budgets: BudgetAdmin
    confirmations: PolicyConfirmations
    excesses: OutcomeExcesses
    known_names: KnownNames

    async def GetPolicyStatus(
        self, _request: control_pb2.GetPolicyStatusRequest, _context: Context
    ) -> control_pb2.GetPolicyStatusResponse:
        """Return which policy is served, and whether the server can decide."""
        return policy_status_to_proto(*visible_status(self.policies.status(), self.health(), current_principal()))

    async def GetPermitKeys(
        self, _request: control_pb2.GetPermitKeysRequest, _context: Context
    ) -> control_pb2.GetPermitKeysResponse:
        """Return the public keys that verify permits."""
        return control_pb2.GetPermitKeysResponse(jwks_json=self.permit_keys())
