"""Builds the record of a confirmed policy revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.access_records import caller_fields
from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.commands.records import actor_part
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand, ControlRequest
    from placet.kernel.state import Change
    from placet.revisions.status import PolicyStatus


def policy_confirmed(
    command: ChangeCommand,
    status: PolicyStatus,
    first: ControlRequest | None,
    now_us: int,
    changes: tuple[Change, ...],
) -> Commitment:
    """Record that a person confirmed the held revision. `first` is the request of the first of two who confirm it."""
    fields = {"policy_revision": command.target, "served_revision": status.revision, **caller_fields(command.caller)}
    if status.held_pusher.name:
        fields["pushed_by"] = status.held_pusher.name
    part = {"lost": [redact_text(reason) for reason in status.held_reasons], **actor_part(command, first)}
    return control_record(RecordKind.POLICY_CONFIRMED, command.tenant, now_us, fields, part, changes)
