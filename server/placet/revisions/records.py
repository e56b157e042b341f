"""Builds the record of a confirmed policy revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.access_records import caller_fields
from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.commands.records import actor_part
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.state import Change


def policy_confirmed(
    command: ChangeCommand, served_revision: str, reasons: Sequence[str], now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """Record that a person confirmed a revision that lost restrictions. `reasons` say what it lost."""
    fields = {"policy_revision": command.target, "served_revision": served_revision, **caller_fields(command.caller)}
    part = {"lost": [redact_text(reason) for reason in reasons], **actor_part(command, None)}
    return control_record(RecordKind.POLICY_CONFIRMED, command.tenant, now_us, fields, part, changes)
