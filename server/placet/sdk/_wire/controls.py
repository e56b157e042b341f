"""Kill switches, autonomy and budgets from messages, and into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.sdk._wire.decode import AUTONOMIES, time_from_proto
from placet.sdk._wire.fields import invalid, set_fields
from placet.sdk.controls import (
    AutonomyRule,
    Budget,
    BudgetCounter,
    ControlRequest,
    KillScope,
    KillSwitch,
    PolicyStatus,
    RevokedPermit,
)
from placet.sdk.decision import Autonomy
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
_MODES: Final = {control_pb2.ENGINE_MODE_MANAGED: "managed", control_pb2.ENGINE_MODE_EXTERNAL: "external"}
_SCOPES: Final = {field: scope for scope, field in _FIELDS.items()}
_WIDE: Final = frozenset({KillScope.GLOBAL, KillScope.TENANT})
_LEVELS: Final = {level: number for number, level in AUTONOMIES.items()} | {
    Autonomy.UNSPECIFIED: decision_pb2.AUTONOMY_UNSPECIFIED
}


def kill_scope_to_proto(scope: KillScope, value: str, tenant: str) -> control_pb2.KillScope:
    """The scope on the wire. InvalidRequestError when it is none."""
    if scope not in _FIELDS:
        raise invalid(("scope", f"must be a KillScope, not {scope!r}"))
    if scope in _WIDE and value:
        raise invalid(("value", f"must be empty with {scope}"))
    named = {_FIELDS[scope]: True if scope in _WIDE else value}
    return set_fields(control_pb2.KillScope(), "scope.", tenant=tenant, **named)


def actor_to_proto(actor: str) -> person_pb2.Person:
    """Who steers, on the wire."""
    return set_fields(person_pb2.Person(), "actor.", id=actor)


def autonomy_to_proto(level: Autonomy) -> AutonomyNumber:
    """The level on the wire. InvalidRequestError when it is none."""
    if level not in _LEVELS:
        raise invalid(("level", f"must be an Autonomy, not {level!r}"))
    return _LEVELS[level]


def kill_switch_from_proto(message: control_pb2.KillSwitch) -> KillSwitch:
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
        set_at=time_from_proto(message.set_at),
        expires_at=time_from_proto(message.expires_at),
        clearing=control_request_from_proto(message.clearing) if message.HasField("clearing") else None,
    )


def control_request_from_proto(message: control_pb2.ControlRequest) -> ControlRequest:
    """What waits for a second person."""
    return ControlRequest(message.id, message.requested_by, message.reason, time_from_proto(message.expires_at))


def revoked_permit_from_proto(message: control_pb2.RevokedPermit) -> RevokedPermit:
    """A permit that is void."""
    return RevokedPermit(message.tenant, message.decision_id, message.tool, message.agent, message.run_id)


def autonomy_rule_from_proto(message: control_pb2.AutonomyRule) -> AutonomyRule:
    """A rule of autonomy."""
    return AutonomyRule(
        workflow=message.workflow,
        tool=message.tool,
        agent=message.agent,
        level=AUTONOMIES.get(message.level, Autonomy.UNSPECIFIED),
        actor=message.actor,
        reason=message.reason,
        set_at=time_from_proto(message.set_at),
    )


def budget_from_proto(message: control_pb2.Budget) -> Budget:
    """A budget with its counters."""
    return Budget(
        id=message.id,
        unit=message.unit,
        scope=message.scope,
        window=message.window,
        timezone=message.timezone,
        limit=message.limit,
        on_exceed=message.on_exceed,
        counters=tuple(budget_counter_from_proto(each) for each in message.counters),
        current=message.current,
        currency=message.currency,
    )


def budget_counter_from_proto(message: control_pb2.BudgetCounter) -> BudgetCounter:
    """A counter."""
    return BudgetCounter(
        scope_key=message.scope_key,
        window_key=message.window_key,
        unit=message.unit,
        used=message.used,
        reserved=message.reserved,
        remaining=message.remaining,
        resets_at=time_from_proto(message.resets_at),
    )


def policy_status_from_proto(message: control_pb2.GetPolicyStatusResponse) -> PolicyStatus:
    """Which policy is served."""
    return PolicyStatus(
        ready=message.ready,
        policy_revision=message.policy_revision,
        loaded_at=time_from_proto(message.loaded_at),
        confirmed_at=time_from_proto(message.confirmed_at),
        engine_mode=_MODES.get(message.engine_mode, "unknown"),
        engine_version=message.engine_version,
        engine_restarts=message.engine_restarts,
        tenants=tuple(message.tenants),
        reloads_accepted=message.reloads_accepted,
        reloads_refused=message.reloads_refused,
        last_error=message.last_error,
        last_error_at=time_from_proto(message.last_error_at),
        serving=message.serving,
        not_serving_reasons=tuple(message.not_serving_reasons),
        refused_since=time_from_proto(message.refused_since),
        unseen_since=time_from_proto(message.unseen_since),
        decides_until=time_from_proto(message.decides_until),
        stale=message.stale,
        git_commit=message.git_commit,
        store_error=message.store_error,
        data_dir_free_bytes=message.data_dir_free_bytes,
        held_revision=message.held_revision,
        held_since=time_from_proto(message.held_since),
        held_reasons=tuple(message.held_reasons),
    )
