"""Records of levels of autonomy."""

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
    wish: ChangeCommand,
    first: ControlRequest | None,
    now_us: int,
    changes: tuple[Change, ...],
) -> Commitment:
    """A level of autonomy was set; None: it was taken away."""
    level = override.rule.level.value if override is not None else ""
    fields = {"override_id": wish.target, "level": level, **request_fields(wish, first)}
    said = override.rule.to_json() if override is not None else {}
    return control_record(
        RecordKind.AUTONOMY_SET, wish.tenant, now_us, fields, {**said, **actor_part(wish, first)}, changes
    )
