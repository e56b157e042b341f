"""What people changed while the server ran, as commitments. Who, why and what exactly is in the part ``control``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.core import rule_ids
from placet.core.outcome_excess import ExcessState
from placet.core.outcome_records import excess_fields
from placet.core.records import Commitment, RecordKind
from placet.core.redact import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.core.autonomy_override import AutonomyOverride
    from placet.core.changes import Change, CounterKey
    from placet.core.control_request import ControlRequest, Wish
    from placet.core.kill_switch import KillSwitch
    from placet.core.model import Caller
    from placet.core.outcome_excess import OutcomeExcess
    from placet.core.trail_break import TrailBreak

CONTROL: Final = "control"
"""Part of a change: actor, reason, what was changed exactly, and who asked first where it needed two persons."""


def switch_set(switch: KillSwitch, caller: Caller, now_us: int, changes: tuple[Change, ...]) -> Commitment:
    """A kill switch was set."""
    fields = {
        "kill_switch_id": switch.switch_id,
        "scope": switch.scope,
        "expires_at_us": switch.expires_at_us,
        "caller": caller.name,
    }
    part = {"value": switch.value, "actor": switch.actor, "reason": switch.reason}
    return _commitment(RecordKind.KILL_SWITCH_SET, switch.tenant, now_us, fields, part, changes)


def switch_cleared(
    switch: KillSwitch, wish: Wish, first: ControlRequest | None, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """A kill switch was cleared; `first` is who asked for it before, where two persons had to."""
    fields = {"kill_switch_id": switch.switch_id, "scope": switch.scope, **_by(wish, first)}
    part = {"value": switch.value, **_who(wish, first)}
    return _commitment(RecordKind.KILL_SWITCH_CLEARED, switch.tenant, now_us, fields, part, changes)


def permit_revoked(switch: KillSwitch, tenant: str, decision_id: str, now_us: int) -> Commitment:
    """A kill switch covers an allow whose permit may still be valid. Whoever watches the decision is told."""
    part = {"actor": switch.actor, "reason": switch.reason}
    return _revoked(tenant, decision_id, switch.switch_id, switch.rule_id, part, now_us)


def permit_revoked_with_votes(tenant: str, decision_id: str, actor: str, reason: str, now_us: int) -> Commitment:
    """The votes that an allow rested on are too few since some were voided. Its permit may still be valid."""
    part = {"actor": actor, "reason": redact_text(reason)}
    return _revoked(tenant, decision_id, "", rule_ids.APPROVAL_VOTES_VOIDED, part, now_us)


def autonomy_set(
    override: AutonomyOverride | None,
    wish: Wish,
    first: ControlRequest | None,
    now_us: int,
    changes: tuple[Change, ...],
) -> Commitment:
    """A level of autonomy was set; None: it was taken away."""
    level = override.rule.level.value if override is not None else ""
    fields = {"override_id": wish.target, "level": level, **_by(wish, first)}
    said = override.rule.to_json() if override is not None else {}
    return _commitment(RecordKind.AUTONOMY_SET, wish.tenant, now_us, fields, {**said, **_who(wish, first)}, changes)


def budget_adjusted(
    counter: CounterKey,
    amount: int,
    wish: Wish,
    first: ControlRequest | None,
    now_us: int,
    changes: tuple[Change, ...],
) -> Commitment:
    """Somebody corrected a budget's counter by `amount`, in its unit."""
    fields = {
        "budget_id": counter.budget_id,
        "unit": counter.unit,
        "amount": amount,
        **_by(wish, first),
    }
    part = {"scope_key": counter.scope_key, "window_key": counter.window_key, **_who(wish, first)}
    return _commitment(RecordKind.BUDGET_ADJUSTED, counter.tenant, now_us, fields, part, changes)


def policy_confirmed(
    wish: Wish, served_revision: str, reasons: Sequence[str], now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """Somebody confirmed that a revision may decide although it lost restrictions, for these reasons."""
    fields = {"policy_revision": wish.target, "served_revision": served_revision, "caller": wish.caller.name}
    part = {"lost": [redact_text(reason) for reason in reasons], **_who(wish, None)}
    return _commitment(RecordKind.POLICY_CONFIRMED, wish.tenant, now_us, fields, part, changes)


def excess_decided(excess: OutcomeExcess, wish: Wish, now_us: int, changes: tuple[Change, ...]) -> Commitment:
    """What was held of an outcome was accepted, and counts; or dropped."""
    accepted = excess.state is ExcessState.ACCEPTED
    fields = {
        "decision_id": excess.decision_id,
        "excess": excess_fields(excess.parts),
        "caller": wish.caller.name,
    }
    kind = RecordKind.EXCESS_ACCEPTED if accepted else RecordKind.EXCESS_DROPPED
    return _commitment(kind, excess.tenant, now_us, fields, _who(wish, None), changes)


def control_requested(wish: Wish, request: ControlRequest, now_us: int, changes: tuple[Change, ...]) -> Commitment:
    """A change waits for its second person."""
    fields = {"change": wish.kind, "expires_at_us": request.expires_at_us, **_by(wish, request)}
    return _commitment(RecordKind.CONTROL_REQUESTED, wish.tenant, now_us, fields, _wished(wish), changes)


def control_refused(wish: Wish, refusal: str, now_us: int) -> Commitment:
    """A change was refused; `refusal` is the stable id of why."""
    fields = {"change": wish.kind, "refusal": refusal, "caller": wish.caller.name}
    return _commitment(RecordKind.CONTROL_REFUSED, wish.tenant, now_us, fields, _wished(wish), ())


def trail_restarted(broken: TrailBreak, actor: str, reason: str, now_us: int) -> Commitment:
    """Somebody goes on although the database does not hold what was signed before."""
    fields = {
        "found": broken.kind.value,
        "lost_writer": broken.writer,
        "expected_sequence": broken.expected_sequence,
        "expected_head": broken.expected_head,
        "found_sequence": broken.found_sequence,
    }
    part = {"actor": actor, "reason": redact_text(reason)}
    return _commitment(RecordKind.TRAIL_RESTARTED, "", now_us, fields, part, ())


def clock_accepted(newest_us: int, actor: str, reason: str, now_us: int) -> Commitment:
    """Somebody says that the machine's clock is right although the newest record is later."""
    fields = {"newest_recorded_at_us": newest_us, "behind_seconds": (newest_us - now_us) // 1_000_000}
    part = {"actor": actor, "reason": redact_text(reason)}
    return _commitment(RecordKind.CLOCK_ACCEPTED, "", now_us, fields, part, ())


def _commitment(
    kind: RecordKind,
    tenant: str,
    now_us: int,
    fields: Mapping[str, Any],
    part: Mapping[str, Any],
    changes: tuple[Change, ...],
    subject: str = "",
) -> Commitment:
    parts = {CONTROL: orjson.dumps(part)}
    return Commitment(kind, tenant, now_us, fields, parts, subject=subject, changes=changes)


def _revoked(
    tenant: str, decision_id: str, switch_id: str, rule_id: str, part: Mapping[str, Any], now_us: int
) -> Commitment:
    fields = {"decision_id": decision_id, "kill_switch_id": switch_id, "rule_id": rule_id}
    return _commitment(RecordKind.PERMIT_REVOKED, tenant, now_us, fields, part, (), decision_id)


def _who(wish: Wish, first: ControlRequest | None) -> dict[str, str]:
    said = {"actor": wish.actor, "reason": wish.reason}
    if first is not None:
        said |= {"requested_by": first.requested_by, "requested_reason": first.reason}
    return said


def _wished(wish: Wish) -> dict[str, str]:
    return {"target": wish.target, "value": wish.value, "actor": wish.actor, "reason": wish.reason}


def _by(wish: Wish, request: ControlRequest | None) -> dict[str, str]:
    return {"request_id": request.request_id if request is not None else "", "caller": wish.caller.name}
