"""placet.v1.ControlService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.transport.grpc.messages.present import present_policy_status
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import grpc

    from placet.decision.ports import PolicySource
    from placet.revisions.status import ServerHealth
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog
    from placet.transport.grpc.services.autonomy import AutonomyCalls
    from placet.transport.grpc.services.budgets import BudgetCalls
    from placet.transport.grpc.services.excesses import ExcessCalls
    from placet.transport.grpc.services.kill_switches import KillCalls
    from placet.transport.grpc.services.policy import PolicyCalls

SERVICE = "placet.v1.ControlService"


@dataclass(frozen=True, slots=True)
class Steering:
    """The calls that change how decisions are made."""

    kill: KillCalls
    autonomy: AutonomyCalls
    budgets: BudgetCalls
    policy: PolicyCalls
    excesses: ExcessCalls

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        calls = (self.kill, self.autonomy, self.budgets, self.policy, self.excesses)
        return {name: handler for each in calls for name, handler in each.handlers(on_error).items()}


@dataclass(frozen=True, slots=True)
class ControlService:
    """Shows what the server is doing, and steers it.

    `health` says whether decisions can be made, `permit_keys` gives the JWK set that permits are verified with.
    """

    policies: PolicySource
    health: Callable[[], ServerHealth]
    permit_keys: Callable[[], Awaitable[str]]
    steering: Steering
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "GetPolicyStatus": self.refusals.unary(
                self.get_policy_status, control_pb2.GetPolicyStatusRequest, on_error
            ),
            "GetPermitKeys": self.refusals.unary(self.get_permit_keys, control_pb2.GetPermitKeysRequest, on_error),
            **self.steering.handlers(on_error),
        }

    async def get_policy_status(
        self, _message: control_pb2.GetPolicyStatusRequest, _context: Context
    ) -> control_pb2.GetPolicyStatusResponse:
        """Say which policy is served, and whether decisions can be made."""
        return present_policy_status(self.policies.status(), self.health())

    async def get_permit_keys(
        self, _message: control_pb2.GetPermitKeysRequest, _context: Context
    ) -> control_pb2.GetPermitKeysResponse:
        """Give the public keys that permits are verified with."""
        return control_pb2.GetPermitKeysResponse(jwks_json=await self.permit_keys())
