"""Builds the commitment that records the correction of a counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.commands.records import actor_part, request_fields

if TYPE_CHECKING:
    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand, ControlRequest
    from placet.kernel.state import Change, CounterKey


def budget_adjusted(
    counter: CounterKey,
    amount: int,
    command: ChangeCommand,
    first: ControlRequest | None,
    now_us: int,
    changes: tuple[Change, ...],
) -> Commitment:
    """Record that a counter was corrected by `amount`, in its unit. `first` is the first person's request, if any."""
    fields = {
        "budget_id": counter.budget_id,
        "unit": counter.unit,
        "amount": amount,
        **request_fields(command, first),
    }
    part = {"scope_key": counter.scope_key, "window_key": counter.window_key, **actor_part(command, first)}
    return control_record(RecordKind.BUDGET_ADJUSTED, counter.tenant, now_us, fields, part, changes)
