"""ConfirmPolicy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.kernel.limits import SHORT_LABEL_BYTES_MAX
from placet.transport.grpc.messages.controls import actor_of, reason_of, require
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.revisions.confirmations import PolicyConfirmations
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog


@dataclass(frozen=True, slots=True)
class PolicyCalls:
    """The calls about policies that wait."""

    confirmations: PolicyConfirmations
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {"ConfirmPolicy": self.refusals.unary(self.confirm, control_pb2.ConfirmPolicyRequest, on_error)}

    async def confirm(
        self, message: control_pb2.ConfirmPolicyRequest, context: Context
    ) -> control_pb2.ConfirmPolicyResponse:
        """Confirm a policy that waits."""
        fields = Fields()
        revision = fields.text("policy_revision", message.policy_revision, SHORT_LABEL_BYTES_MAX, required=True)
        actor, reason = actor_of(fields, message.actor), reason_of(fields, message.reason)
        require(fields)
        status = await self.confirmations.confirm(revision, actor, reason, caller_of(context))
        return control_pb2.ConfirmPolicyResponse(
            activated=status.revision.startswith(revision),
            policy_revision=status.revision,
            last_error=status.last_error,
        )
