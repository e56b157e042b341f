"""Records of kill switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.commands.records import actor_part, request_fields

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand, ControlRequest
    from placet.controls.kill_switches.model import KillSwitch
    from placet.kernel.model import Caller
    from placet.kernel.state import Change


def switch_set(switch: KillSwitch, caller: Caller, now_us: int, changes: tuple[Change, ...]) -> Commitment:
    """A kill switch was set."""
    fields = {
        "kill_switch_id": switch.switch_id,
        "scope": switch.scope,
        "expires_at_us": switch.expires_at_us,
        "caller": caller.name,
    }
    part = {"value": switch.value, "actor": switch.actor, "reason": switch.reason}
    return control_record(RecordKind.KILL_SWITCH_SET, switch.tenant, now_us, fields, part, changes)


def switch_cleared(
    switch: KillSwitch, wish: ChangeCommand, first: ControlRequest | None, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """A kill switch was cleared; `first` is who asked for it before, where two persons had to."""
    fields = {"kill_switch_id": switch.switch_id, "scope": switch.scope, **request_fields(wish, first)}
    part = {"value": switch.value, **actor_part(wish, first)}
    return control_record(RecordKind.KILL_SWITCH_CLEARED, switch.tenant, now_us, fields, part, changes)
