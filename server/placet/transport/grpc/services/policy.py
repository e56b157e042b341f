"""The part of ControlServicer about policies: ConfirmPolicy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.limits import SHORT_LABEL_BYTES_MAX
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.controls import actor_of, control_request_to_proto, reason_of
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import control_pb2, control_pb2_grpc

if TYPE_CHECKING:
    from placet.revisions.confirmations import PolicyConfirmations
    from placet.transport.grpc.context import Context


class PolicyMethods(control_pb2_grpc.ControlServiceServicer):
    """Confirms policies that are held."""

    confirmations: PolicyConfirmations

    async def ConfirmPolicy(
        self, request: control_pb2.ConfirmPolicyRequest, _context: Context
    ) -> control_pb2.ConfirmPolicyResponse:
        """Confirm a policy that is held."""
        validator = RequestValidator()
        revision = validator.text("policy_revision", request.policy_revision, SHORT_LABEL_BYTES_MAX, required=True)
        actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
        validator.require_valid()
        made = await self.confirmations.confirm(revision, actor, reason, current_caller())
        return control_pb2.ConfirmPolicyResponse(
            activated=made.status.revision.startswith(revision),
            policy_revision=made.status.revision,
            last_error=made.status.last_error,
            pending_request=control_request_to_proto(made.waiting),
        )
