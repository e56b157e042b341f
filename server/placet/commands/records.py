"""Records of changes that wait for a second person, or were refused; and the parts that all changes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.control_record import control_record
from placet.audit.records import RecordKind

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand, ControlRequest
    from placet.kernel.state import Change


def control_requested(
    wish: ChangeCommand, request: ControlRequest, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """A change waits for its second person."""
    fields = {"change": wish.kind, "expires_at_us": request.expires_at_us, **request_fields(wish, request)}
    return control_record(RecordKind.CONTROL_REQUESTED, wish.tenant, now_us, fields, command_part(wish), changes)


def control_refused(wish: ChangeCommand, refusal: str, now_us: int) -> Commitment:
    """A change was refused; `refusal` is the stable id of why."""
    fields = {"change": wish.kind, "refusal": refusal, "caller": wish.caller.name}
    return control_record(RecordKind.CONTROL_REFUSED, wish.tenant, now_us, fields, command_part(wish), ())


def actor_part(wish: ChangeCommand, first: ControlRequest | None) -> dict[str, str]:
    """Who and why; `first` is who asked for it before, where it needs two persons."""
    said = {"actor": wish.actor, "reason": wish.reason}
    if first is not None:
        said |= {"requested_by": first.requested_by, "requested_reason": first.reason}
    return said


def command_part(wish: ChangeCommand) -> dict[str, str]:
    """What was asked for, by whom and why."""
    return {"target": wish.target, "value": wish.value, "actor": wish.actor, "reason": wish.reason}


def request_fields(wish: ChangeCommand, request: ControlRequest | None) -> dict[str, str]:
    """Which request it is, and who sent it."""
    return {"request_id": request.request_id if request is not None else "", "caller": wish.caller.name}
