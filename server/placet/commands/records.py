"""Builds the records of commands that wait for a second person or were refused, and the fields that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.access_records import caller_fields
from placet.audit.control_record import control_record
from placet.audit.records import RecordKind

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand, ControlRequest
    from placet.kernel.state import Change


def control_requested(
    command: ChangeCommand, request: ControlRequest, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """Record that a command waits for its second person."""
    fields = {"change": command.kind, "expires_at_us": request.expires_at_us, **request_fields(command, request)}
    return control_record(RecordKind.CONTROL_REQUESTED, command.tenant, now_us, fields, command_part(command), changes)


def control_refused(command: ChangeCommand, refusal: str, now_us: int) -> Commitment:
    """Record that a command was refused. `refusal` is the stable id of the reason."""
    fields = {"change": command.kind, "refusal": refusal, **caller_fields(command.caller)}
    return control_record(RecordKind.CONTROL_REFUSED, command.tenant, now_us, fields, command_part(command), ())


def actor_part(command: ChangeCommand, first: ControlRequest | None) -> dict[str, str]:
    """Return actor and reason. `first` is the request of the first person, for a four-eyes change."""
    part = {"actor": command.actor, "reason": command.reason}
    if first is not None:
        part |= {"requested_by": first.requested_by, "requested_reason": first.reason}
    return part


def command_part(command: ChangeCommand) -> dict[str, str]:
    """Return target, value, actor and reason of the command."""
    return {"target": command.target, "value": command.value, "actor": command.actor, "reason": command.reason}


def request_fields(command: ChangeCommand, request: ControlRequest | None) -> dict[str, str]:
    """Return the id of the request, "" for None, and the caller of the command."""
    return {"request_id": request.request_id if request is not None else "", **caller_fields(command.caller)}
