"""Kill switches, autonomy and budgets from messages, and into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.sdk.decision import Autonomy
from placet.sdk.decode import AUTONOMIES, time_of
from placet.sdk.fields import filled, refused
from placet.sdk.steering import (
    AutonomyRule,
    BudgetCounter,
    BudgetStatus,
    ControlRequest,
    KillScope,
    KillSwitch,
    RevokedPermit,
)
from placet.v1 import control_pb2, decision_pb2, person_pb2

if TYPE_CHECKING:
    from placet.v1.decision_pb2 import Autonomy as AutonomyNumber

_FIELDS: Final = {
    KillScope.GLOBAL: "global",
    KillScope.TENANT: "whole_tenant",
    KillScope.TOOL: "tool",
    KillScope.AGENT: "agent",
    KillScope.WORKFLOW: "workflow",
    KillScope.RUN: "run_id",
}
"""Scope -> its field of KillScope."""
_SCOPES: Final = {field: scope for scope, field in _FIELDS.items()}
_WIDE: Final = frozenset({KillScope.GLOBAL, KillScope.TENANT})
_LEVELS: Final = {level: number for number, level in AUTONOMIES.items()} | {
    Autonomy.UNSPECIFIED: decision_pb2.AUTONOMY_UNSPECIFIED
}


def scope_message(scope: KillScope, value: str, tenant: str) -> control_pb2.KillScope:
    """The scope on the wire. InvalidRequestError when it is none."""
    if scope not in _FIELDS:
        raise refused(("scope", f"must be a KillScope, not {scope!r}"))
    if scope in _WIDE and value:
        raise refused(("value", f"must be empty with {scope}"))
    named = {_FIELDS[scope]: True if scope in _WIDE else value}
    return filled(control_pb2.KillScope(), "scope.", tenant=tenant, **named)


def person_message(actor: str) -> person_pb2.Person:
    """Who steers, on the wire."""
    return filled(person_pb2.Person(), "actor.", id=actor)


def level_number(level: Autonomy) -> AutonomyNumber:
    """The level on the wire. InvalidRequestError when it is none."""
    if level not in _LEVELS:
        raise refused(("level", f"must be an Autonomy, not {level!r}"))
    return _LEVELS[level]


def kill_switch_of(message: control_pb2.KillSwitch) -> KillSwitch:
    """A kill switch."""
    named = message.scope.WhichOneof("scope") or "global"
    value = getattr(message.scope, named)
    return KillSwitch(
        id=message.id,
        scope=_SCOPES[named],
        value="" if isinstance(value, bool) else value,
        tenant=message.scope.tenant,
        reason=message.reason,
        actor=message.actor,
        set_at=time_of(message.set_at),
        expires_at=time_of(message.expires_at),
        clearing=request_of(message.clearing) if message.HasField("clearing") else None,
    )


def request_of(message: control_pb2.ControlRequest) -> ControlRequest:
    """What waits for a second person."""
    return ControlRequest(message.id, message.requested_by, message.reason, time_of(message.expires_at))


def revoked_of(message: control_pb2.RevokedPermit) -> RevokedPermit:
    """A permit that is void."""
    return RevokedPermit(message.tenant, message.decision_id, message.tool, message.agent, message.run_id)


def rule_of(message: control_pb2.AutonomyRule) -> AutonomyRule:
    """A rule of autonomy."""
    return AutonomyRule(
        workflow=message.workflow,
        tool=message.tool,
        agent=message.agent,
        level=AUTONOMIES.get(message.level, Autonomy.UNSPECIFIED),
        actor=message.actor,
        reason=message.reason,
        set_at=time_of(message.set_at),
    )


def budget_of(message: control_pb2.Budget) -> BudgetStatus:
    """A budget with its counters."""
    return BudgetStatus(
        id=message.id,
        unit=message.unit,
        scope=message.scope,
        window=message.window,
        timezone=message.timezone,
        limit=message.limit,
        on_exceed=message.on_exceed,
        counters=tuple(counter_of(each) for each in message.counters),
        current=message.current,
        currency=message.currency,
    )


def counter_of(message: control_pb2.BudgetCounter) -> BudgetCounter:
    """A counter."""
    return BudgetCounter(
        scope_key=message.scope_key,
        window_key=message.window_key,
        unit=message.unit,
        used=message.used,
        reserved=message.reserved,
        remaining=message.remaining,
        resets_at=time_of(message.resets_at),
    )
