"""placet.v1.ControlService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.rpc.handlers import unary
from placet.rpc.present import present_policy_status
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.core.ports import PolicySource
    from placet.rpc.context import Context

SERVICE = "placet.v1.ControlService"


@dataclass(frozen=True, slots=True)
class ControlService:
    """Shows what the server is doing."""

    policies: PolicySource

    def handlers(self, on_fault: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {"GetPolicyStatus": unary(self.get_policy_status, control_pb2.GetPolicyStatusRequest, on_fault)}

    async def get_policy_status(
        self, _message: control_pb2.GetPolicyStatusRequest, _context: Context
    ) -> control_pb2.GetPolicyStatusResponse:
        """Say which policy is served."""
        return present_policy_status(self.policies.status())
