"""Fields that all calls of ControlService share: actor, reason and pending request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.limits import CONTROL_REASON_BYTES_MAX, LABEL_BYTES_MAX, PRINCIPAL_BYTES_MAX, ROLES_MAX
from placet.transport.grpc.messages.to_proto import timestamp
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from placet.commands.four_eyes import ControlRequest
    from placet.transport.grpc.messages.validation import RequestValidator
    from placet.v1 import person_pb2


def actor_of(validator: RequestValidator, message: person_pb2.Person) -> str:
    """Return the id of the person who makes the change. Checks the roles, too."""
    validator.names("actor.roles", message.roles, ROLES_MAX, LABEL_BYTES_MAX)
    return validator.name("actor.id", message.id, PRINCIPAL_BYTES_MAX, required=True)


def reason_of(validator: RequestValidator, reason: str) -> str:
    """Return the reason for the change."""
    return validator.text("reason", reason, CONTROL_REASON_BYTES_MAX, required=True)


def control_request_to_proto(request: ControlRequest | None) -> control_pb2.ControlRequest | None:
    """Return the message of a change that waits for a second person; None if none waits."""
    if request is None:
        return None
    return control_pb2.ControlRequest(
        id=request.request_id,
        requested_by=request.requested_by,
        reason=request.reason,
        expires_at=timestamp(request.expires_at_us),
    )
