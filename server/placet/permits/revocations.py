"""Revoked permits: how a revocation is recorded, and which permits are young enough to need one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.audit.control_record import control_record
from placet.audit.records import RecordKind
from placet.kernel.limits import PERMIT_TTL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from placet.audit.records import Commitment
    from placet.kernel.state import Event

LEEWAY_SECONDS: Final = 5
"""How much longer than it says executors may take a permit for valid."""
_SECOND_US: Final = 1_000_000


def valid_since_us(now_us: int) -> int:
    """When the oldest allow was decided whose permit may still be taken for valid."""
    return max(0, now_us - (PERMIT_TTL_SECONDS + LEEWAY_SECONDS) * _SECOND_US)


def permit_revoked(
    tenant: str, decision_id: str, switch_id: str, rule_id: str, actor: str, reason: str, now_us: int
) -> Commitment:
    """The record that the permit of an allow is void; whoever watches the decision gets it.

    `switch_id` is the kill switch that covers it, "" when the votes that it rested on were voided.
    """
    fields = {"decision_id": decision_id, "kill_switch_id": switch_id, "rule_id": rule_id}
    part = {"actor": actor, "reason": reason}
    return control_record(RecordKind.PERMIT_REVOKED, tenant, now_us, fields, part, (), decision_id)


def is_revoked(history: Iterable[Event]) -> bool:
    """Whether the permit of the decision that this happened to is void."""
    return any(event.kind == RecordKind.PERMIT_REVOKED for event in history)
