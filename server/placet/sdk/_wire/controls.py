"""Kill switches, levels of autonomy, budgets and the policy status to protobuf messages, and back."""

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
    KillSwitchSet,
    PolicyStatus,
    RevokedPermit,
    SlowPack,
)
from placet.sdk.decision import Autonomy
from placet.v1 import control_pb2, decision_pb2, person_pb2

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    from placet.v1.decision_pb2 import Autonomy as AutonomyNumber

_SCOPE_FIELDS: Final = {
    KillScope.GLOBAL: "global",
    KillScope.TENANT: "whole_tenant",
    KillScope.TOOL: "tool",
    KillScope.AGENT: "agent",
    KillScope.WORKFLOW: "workflow",
    KillScope.RUN: "run_id",
}
"""Scope -> its field in the message KillScope."""
_SCOPES_BY_FIELD: Final = {field: scope for scope, field in _SCOPE_FIELDS.items()}
_SCOPES_WITHOUT_VALUE: Final = frozenset({KillScope.GLOBAL, KillScope.TENANT})
_ENGINE_MODES: Final = {control_pb2.ENGINE_MODE_MANAGED: "managed", control_pb2.ENGINE_MODE_EXTERNAL: "external"}
_AUTONOMY_TO_PROTO: Final = {level: number for number, level in AUTONOMIES.items()} | {
    Autonomy.UNSPECIFIED: decision_pb2.AUTONOMY_UNSPECIFIED
}


def _texts_by_number(enum: EnumTypeWrapper, prefix: str) -> dict[int, str]:
    """Return the SDK's texts for the numbers of an enum, without UNSPECIFIED."""
    return {number: name.removeprefix(prefix).lower() for name, number in enum.items() if number}


_BUDGET_SCOPES: Final = _texts_by_number(control_pb2.BudgetScope, "BUDGET_SCOPE_")
_BUDGET_WINDOWS: Final = _texts_by_number(control_pb2.BudgetWindow, "BUDGET_WINDOW_")
_EXCEED_ACTIONS: Final = _texts_by_number(control_pb2.BudgetExceedAction, "BUDGET_EXCEED_ACTION_")


def kill_scope_to_proto(scope: KillScope, value: str, tenant: str) -> control_pb2.KillScope:
    """Return the message. Raises InvalidRequestError if scope and value do not fit together."""
    if scope not in _SCOPE_FIELDS:
        raise invalid(("scope", f"must be a KillScope, not {scope!r}"))
    if scope in _SCOPES_WITHOUT_VALUE and value:
        raise invalid(("value", f"must be empty with {scope}"))
    fields = {_SCOPE_FIELDS[scope]: True if scope in _SCOPES_WITHOUT_VALUE else value}
    return set_fields(control_pb2.KillScope(), "scope.", tenant=tenant, **fields)


def actor_to_proto(actor: str) -> person_pb2.Person:
    """Return the message for the person who makes a change. Raises InvalidRequestError."""
    return set_fields(person_pb2.Person(), "actor.", id=actor)


def autonomy_to_proto(level: Autonomy) -> AutonomyNumber:
    """Return the number of the level. Raises InvalidRequestError if it is not an Autonomy."""
    if level not in _AUTONOMY_TO_PROTO:
        raise invalid(("level", f"must be an Autonomy, not {level!r}"))
    return _AUTONOMY_TO_PROTO[level]


def kill_switch_from_proto(message: control_pb2.KillSwitch) -> KillSwitch:
    """Return the kill switch."""
    field = message.scope.WhichOneof("scope") or "global"
    value = getattr(message.scope, field)
    return KillSwitch(
        id=message.id,
        scope=_SCOPES_BY_FIELD[field],
        value="" if isinstance(value, bool) else value,
        tenant=message.scope.tenant,
        reason=message.reason,
        actor=message.actor,
        set_at=time_from_proto(message.set_at),
        expires_at=time_from_proto(message.expires_at),
        clearing=control_request_from_proto(message.clearing) if message.HasField("clearing") else None,
    )


def kill_switch_set_from_proto(message: control_pb2.SetKillSwitchResponse) -> KillSwitchSet:
    """Return the result of setting a kill switch."""
    return KillSwitchSet(
        kill_switch=kill_switch_from_proto(message.kill_switch),
        revoked=tuple(map(_revoked_permit, message.revoked)),
        not_revoked=tuple(map(_revoked_permit, message.not_revoked)),
        revocation_incomplete=message.revocation_incomplete,
        warnings=tuple(message.warnings),
    )


def pending_request_from_proto(
    message: control_pb2.ClearKillSwitchResponse | control_pb2.SetAutonomyResponse | control_pb2.AdjustBudgetResponse,
) -> ControlRequest:
    """Return the request that waits for a second person. An older server sets only the deprecated field `waiting`."""
    return control_request_from_proto(
        message.pending_request if message.HasField("pending_request") else message.waiting
    )


def autonomy_rule_from_proto(message: control_pb2.AutonomyRule) -> AutonomyRule:
    """Return the rule."""
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
    """Return the budget. An older server sets only the deprecated text fields."""
    return Budget(
        id=message.id,
        unit=message.unit,
        scope=_BUDGET_SCOPES.get(message.budget_scope, message.scope),
        window=_BUDGET_WINDOWS.get(message.budget_window, message.window),
        timezone=message.timezone,
        limit=message.limit,
        on_exceed=_EXCEED_ACTIONS.get(message.exceed_action, message.on_exceed),
        counters=tuple(map(budget_counter_from_proto, message.counters)),
        current=message.current,
        currency=message.currency,
    )


def budget_counter_from_proto(message: control_pb2.BudgetCounter) -> BudgetCounter:
    """Return the counter."""
    return BudgetCounter(
        scope_key=message.scope_key,
        window_key=message.window_key,
        unit=message.unit,
        used=message.used,
        reserved=message.reserved,
        remaining=message.remaining,
        resets_at=time_from_proto(message.resets_at),
        given_back=message.given_back,
        kept=message.kept,
    )


def policy_status_from_proto(message: control_pb2.GetPolicyStatusResponse) -> PolicyStatus:
    """Return the status."""
    return PolicyStatus(
        ready=message.ready,
        policy_revision=message.policy_revision,
        loaded_at=time_from_proto(message.loaded_at),
        confirmed_at=time_from_proto(message.confirmed_at),
        engine_mode=_ENGINE_MODES.get(message.engine_mode, "unknown"),
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
        held_pushed_by=message.held_pushed_by,
        pushed_by=message.pushed_by,
        slow_packs=tuple(
            SlowPack(pack.pack, pack.tool, pack.tenant, pack.milliseconds, pack.ended, pack.input_bytes)
            for pack in message.slow_packs
        ),
        issuers_unreadable=tuple(message.issuers_unreadable),
    )


def control_request_from_proto(message: control_pb2.ControlRequest) -> ControlRequest:
    """Return the value of a change that waits for a second person."""
    return ControlRequest(message.id, message.requested_by, message.reason, time_from_proto(message.expires_at))


def _revoked_permit(message: control_pb2.RevokedPermit) -> RevokedPermit:
    return RevokedPermit(message.tenant, message.decision_id, message.tool, message.agent, message.run_id)
