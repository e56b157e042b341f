"""Revocation of permits: its record, and the age up to which a permit needs one."""

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
"""Executors may accept a permit for so many seconds after its expiry."""
_SECOND_US: Final = 1_000_000


def valid_since_us(now_us: int) -> int:
    """Return the decision time of the oldest allow whose permit may still be accepted."""
    return max(0, now_us - (PERMIT_TTL_SECONDS + LEEWAY_SECONDS) * _SECOND_US)


def permit_revoked(
    tenant: str, decision_id: str, switch_id: str, rule_id: str, actor: str, reason: str, now_us: int
) -> Commitment:
    """Record that the permit of an allow is revoked. Watchers of the decision receive the record.

    `switch_id` is the kill switch that revokes it; "" when votes for its approval were voided.
    """
    fields = {"decision_id": decision_id, "kill_switch_id": switch_id, "rule_id": rule_id}
    part = {"actor": actor, "reason": reason}
    return control_record(RecordKind.PERMIT_REVOKED, tenant, now_us, fields, part, (), decision_id)


def is_revoked(events: Iterable[Event]) -> bool:
    """Return whether the events of a decision contain a revocation of its permit."""
    return any(event.kind == RecordKind.PERMIT_REVOKED for event in events)
