"""What outcomes named far above what was reserved, as operators see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.sdk.decode import time_of
from placet.sdk.fields import filled
from placet.sdk.steering_wire import person_message
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ExcessPart:
    """So much of one counter, in its unit, that was reported and is not counted."""

    budget_id: str
    unit: str
    window_key: str
    scope_key: str
    amount: int


@dataclass(frozen=True, slots=True)
class OutcomeExcess:
    """What one outcome named far above what was reserved: of which call, and who reported it."""

    tenant: str
    decision_id: str
    caller: str
    agent: str
    user: str
    run_id: str
    tool: str
    reported_at: datetime | None
    parts: tuple[ExcessPart, ...]


def verdict_message(
    tenant: str, decision_id: str, *, accept: bool, actor: str, reason: str
) -> control_pb2.DecideOutcomeExcessRequest:
    """What a person says, on the wire. InvalidRequestError names what cannot be sent."""
    verdict = control_pb2.EXCESS_VERDICT_ACCEPT if accept else control_pb2.EXCESS_VERDICT_DROP
    message = control_pb2.DecideOutcomeExcessRequest(verdict=verdict, actor=person_message(actor))
    return filled(message, "", tenant=tenant, decision_id=decision_id, reason=reason)


def excess_of(message: control_pb2.OutcomeExcess) -> OutcomeExcess:
    """An excess."""
    return OutcomeExcess(
        tenant=message.tenant,
        decision_id=message.decision_id,
        caller=message.caller,
        agent=message.agent,
        user=message.user,
        run_id=message.run_id,
        tool=message.tool,
        reported_at=time_of(message.reported_at),
        parts=tuple(
            ExcessPart(each.budget_id, each.unit, each.window_key, each.scope_key, each.amount)
            for each in message.parts
        ),
    )
