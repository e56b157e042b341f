"""Builds the records of kill switches that are set or cleared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.access_records import caller_fields
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
    """Record that a kill switch was set."""
    fields = {
        "kill_switch_id": switch.switch_id,
        "scope": switch.scope,
        "expires_at_us": switch.expires_at_us,
        **caller_fields(caller),
    }
    part = {"value": switch.value, "actor": switch.actor, "reason": switch.reason}
    return control_record(RecordKind.KILL_SWITCH_SET, switch.tenant, now_us, fields, part, changes)


def switch_cleared(
    switch: KillSwitch, command: ChangeCommand, first: ControlRequest | None, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """Record that a kill switch was cleared. `first` is the first person's request, if it took two people."""
    fields = {"kill_switch_id": switch.switch_id, "scope": switch.scope, **request_fields(command, first)}
    part = {"value": switch.value, **actor_part(command, first)}
    return control_record(RecordKind.KILL_SWITCH_CLEARED, switch.tenant, now_us, fields, part, changes)
