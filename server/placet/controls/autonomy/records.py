"""Builds the record of a changed autonomy override."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.commands.records import actor_part, request_fields

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand, ControlRequest
    from placet.controls.autonomy.documents import AutonomyOverride
    from placet.kernel.state import Change


def autonomy_set(
    override: AutonomyOverride | None,
    command: ChangeCommand,
    first: ControlRequest | None,
    now_us: int,
    changes: tuple[Change, ...],
) -> Commitment:
    """Record that an override was set; with None, that it was removed. `first` is the first person's request."""
    level = override.rule.level.value if override is not None else ""
    fields = {"override_id": command.target, "level": level, **request_fields(command, first)}
    rule = override.rule.to_json() if override is not None else {}
    part = {**rule, **actor_part(command, first)}
    return control_record(RecordKind.AUTONOMY_SET, command.tenant, now_us, fields, part, changes)
