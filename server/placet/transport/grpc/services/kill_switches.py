"""The part of ControlServicer about kill switches: SetKillSwitch, ClearKillSwitch, ListKillSwitches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.controls.kill_switches.model import KillScope
from placet.controls.kill_switches.service import NewSwitch
from placet.kernel.limits import (
    KILL_SWITCH_TTL_SECONDS_MAX,
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    SHORT_LABEL_BYTES_MAX,
)
from placet.tenants.known_names import Named
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.controls import actor_of, control_request_to_proto, reason_of
from placet.transport.grpc.messages.to_proto import optional_timestamp, timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import control_pb2, control_pb2_grpc

if TYPE_CHECKING:
    from placet.commands.four_eyes import ControlRequest
    from placet.controls.kill_switches.model import KillSwitch
    from placet.controls.kill_switches.revocation import Revoked
    from placet.controls.kill_switches.service import KillSwitches
    from placet.kernel.model import Caller
    from placet.tenants.known_names import KnownNames
    from placet.transport.grpc.context import Context

_FIELDS: Final = {
    KillScope.GLOBAL: "global",
    KillScope.TENANT: "whole_tenant",
    KillScope.TOOL: "tool",
    KillScope.AGENT: "agent",
    KillScope.WORKFLOW: "workflow",
    KillScope.RUN: "run_id",
}
"""Scope -> field of the message KillScope."""
_SCOPES: Final = {field: scope for scope, field in _FIELDS.items()}
_NAMES: Final = {scope: field for scope, field in _FIELDS.items() if scope not in {KillScope.GLOBAL, KillScope.TENANT}}
"""Scope -> field of `Named` for its value."""
_OF_A_TENANT: Final = frozenset({KillScope.TENANT, KillScope.RUN})


class KillSwitchMethods(control_pb2_grpc.ControlServiceServicer):
    """Sets, clears and lists kill switches."""

    kill_switches: KillSwitches
    known_names: KnownNames

    async def SetKillSwitch(
        self, request: control_pb2.SetKillSwitchRequest, _context: Context
    ) -> control_pb2.SetKillSwitchResponse:
        """Set a switch. Unless strict, check names after it is set, so that nothing delays the stop."""
        new = _parse_set(request, current_caller())
        named = Named(new.tenant, **{_NAMES[new.scope]: new.value} if new.scope in _NAMES else {})
        if request.strict:
            await self.known_names.require(named, "scope.")
        switch, revocation = await self.kill_switches.set(new)
        return control_pb2.SetKillSwitchResponse(
            kill_switch=_kill_switch_to_proto(switch, None),
            revoked=[_revoked_permit_to_proto(permit) for permit in revocation.revoked],
            not_revoked=[_revoked_permit_to_proto(permit) for permit in revocation.failed],
            revocation_incomplete=not revocation.complete,
            warnings=await self.known_names.warnings(named),
        )

    async def ClearKillSwitch(
        self, request: control_pb2.ClearKillSwitchRequest, _context: Context
    ) -> control_pb2.ClearKillSwitchResponse:
        """Clear a switch, or request it of a second person."""
        validator = RequestValidator()
        switch_id = validator.text("kill_switch_id", request.kill_switch_id, SHORT_LABEL_BYTES_MAX, required=True)
        tenant = validator.optional_tenant("tenant", request.tenant)
        actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
        validator.require_valid()
        cleared = await self.kill_switches.clear(switch_id, tenant, actor, reason, current_caller())
        pending = control_request_to_proto(cleared.waiting)
        return control_pb2.ClearKillSwitchResponse(
            cleared=pending is None,
            pending_request=pending,
            waiting=pending,  # deprecated: pending_request
        )

    async def ListKillSwitches(
        self, request: control_pb2.ListKillSwitchesRequest, _context: Context
    ) -> control_pb2.ListKillSwitchesResponse:
        """List the switches that are set."""
        validator = RequestValidator()
        tenant = validator.optional_tenant("tenant", request.tenant)
        if request.every_tenant and tenant:
            validator.violation("tenant", "must be empty with every_tenant; leave out one of the two")
        validator.require_valid()
        listed = await (self.kill_switches.list_all() if request.every_tenant else self.kill_switches.list(tenant))
        return control_pb2.ListKillSwitchesResponse(
            kill_switches=[_kill_switch_to_proto(item.switch, item.clearing) for item in listed]
        )


def _parse_set(request: control_pb2.SetKillSwitchRequest, caller: Caller) -> NewSwitch:
    validator = RequestValidator()
    scope, value = _scope(validator, request.scope)
    tenant = request.scope.tenant
    if scope is KillScope.GLOBAL and tenant:
        validator.violation("scope.tenant", "must be empty with global; leave it out, or use whole_tenant")
    elif scope in _OF_A_TENANT:
        validator.tenant("scope.tenant", tenant)
    else:
        validator.optional_tenant("scope.tenant", tenant)
    actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
    after = validator.count("expires_after_seconds", request.expires_after_seconds, KILL_SWITCH_TTL_SECONDS_MAX)
    validator.require_valid()
    return NewSwitch(scope, tenant, value, actor, reason, after, caller)


def _scope(validator: RequestValidator, message: control_pb2.KillScope) -> tuple[KillScope, str]:
    """Return the scope and its value."""
    field = message.WhichOneof("scope")
    if field is None:
        validator.violation("scope", "is required; set one of global, whole_tenant, tool, agent, workflow, run_id")
        return KillScope.GLOBAL, ""
    scope, value = _SCOPES[field], getattr(message, field)
    if isinstance(value, bool):
        if not value:
            validator.violation(f"scope.{field}", "is false; must be true, or another scope must be set")
        return scope, ""
    if scope is KillScope.TOOL:
        return scope, validator.tool_glob(f"scope.{field}", value)
    bytes_max = PRINCIPAL_BYTES_MAX if scope is KillScope.AGENT else LABEL_BYTES_MAX
    return scope, validator.name(f"scope.{field}", value, bytes_max, required=True)


def _kill_switch_to_proto(switch: KillSwitch, clearing: ControlRequest | None) -> control_pb2.KillSwitch:
    scope = control_pb2.KillScope(tenant=switch.tenant)
    setattr(scope, _FIELDS[switch.scope], switch.value or True)
    return control_pb2.KillSwitch(
        id=switch.switch_id,
        scope=scope,
        reason=switch.reason,
        actor=switch.actor,
        set_at=timestamp(switch.set_at_us),
        expires_at=optional_timestamp(switch.expires_at_us),
        clearing=control_request_to_proto(clearing),
    )


def _revoked_permit_to_proto(revoked: Revoked) -> control_pb2.RevokedPermit:
    return control_pb2.RevokedPermit(
        tenant=revoked.tenant,
        decision_id=revoked.decision_id,
        tool=revoked.tool,
        agent=revoked.agent,
        run_id=revoked.run_id,
    )
