"""What all calls that steer have in common: who, why, and what waits for a second person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.errors import InvalidRequestError
from placet.kernel.limits import CONTROL_REASON_BYTES_MAX, LABEL_BYTES_MAX, PRINCIPAL_BYTES_MAX, ROLES_MAX
from placet.transport.grpc.messages.present import timestamp
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from placet.commands.four_eyes import ControlRequest
    from placet.transport.grpc.messages.fields import Fields
    from placet.v1 import person_pb2


def actor_of(fields: Fields, message: person_pb2.Person) -> str:
    """Who steers."""
    fields.names("actor.roles", message.roles, ROLES_MAX, LABEL_BYTES_MAX)
    return fields.name("actor.id", message.id, PRINCIPAL_BYTES_MAX, required=True)


def reason_of(fields: Fields, reason: str) -> str:
    """Why."""
    return fields.text("reason", reason, CONTROL_REASON_BYTES_MAX, required=True)


def require(fields: Fields) -> None:
    """Refuse the request when anything in it is wrong."""
    if fields.violations:
        raise InvalidRequestError(fields.violations)


def present_request(request: ControlRequest | None) -> control_pb2.ControlRequest | None:
    """What waits for a second person."""
    if request is None:
        return None
    return control_pb2.ControlRequest(
        id=request.request_id,
        requested_by=request.requested_by,
        reason=request.reason,
        expires_at=timestamp(request.expires_at_us),
    )
