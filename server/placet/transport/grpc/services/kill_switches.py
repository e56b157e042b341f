"""SetKillSwitch, ClearKillSwitch, ListKillSwitches."""

from __future__ import annotations

from dataclasses import dataclass
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
from placet.transport.grpc.messages.controls import actor_of, present_request, reason_of, require
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present import time_or_nothing, timestamp
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.commands.four_eyes import ControlRequest
    from placet.controls.kill_switches.model import KillSwitch
    from placet.controls.kill_switches.revocation import Revoked
    from placet.controls.kill_switches.service import KillSwitches
    from placet.kernel.model import Caller
    from placet.tenants.known_names import KnownNames
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog

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
_NAMES: Final = {scope: field for scope, field in _FIELDS.items() if scope not in {KillScope.GLOBAL, KillScope.TENANT}}
"""Scope -> the field of `Named` that has its value."""
_OF_A_TENANT: Final = frozenset({KillScope.TENANT, KillScope.RUN})


@dataclass(frozen=True, slots=True)
class KillCalls:
    """The calls about kill switches."""

    switches: KillSwitches
    known: KnownNames
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "SetKillSwitch": self.refusals.unary(self.set, control_pb2.SetKillSwitchRequest, on_error),
            "ClearKillSwitch": self.refusals.unary(self.clear, control_pb2.ClearKillSwitchRequest, on_error),
            "ListKillSwitches": self.refusals.unary(self.list, control_pb2.ListKillSwitchesRequest, on_error),
        }

    async def set(
        self, message: control_pb2.SetKillSwitchRequest, context: Context
    ) -> control_pb2.SetKillSwitchResponse:
        """Set a switch. Unless strict, names are checked after it is set: stopping comes first."""
        wanted = _parse_set(message, caller_of(context))
        named = Named(wanted.tenant, **{_NAMES[wanted.scope]: wanted.value} if wanted.scope in _NAMES else {})
        if message.strict:
            await self.known.require(named, "scope.")
        switch, revocation = await self.switches.set(wanted)
        return control_pb2.SetKillSwitchResponse(
            kill_switch=_present(switch, None),
            revoked=[_present_revoked(each) for each in revocation.revoked],
            not_revoked=[_present_revoked(each) for each in revocation.failed],
            revocation_incomplete=not revocation.complete,
            warnings=await self.known.warnings(named),
        )

    async def clear(
        self, message: control_pb2.ClearKillSwitchRequest, context: Context
    ) -> control_pb2.ClearKillSwitchResponse:
        """Clear a switch."""
        fields = Fields()
        name = fields.text("kill_switch_id", message.kill_switch_id, SHORT_LABEL_BYTES_MAX, required=True)
        tenant = _tenant(fields, "tenant", message.tenant)
        actor, reason = actor_of(fields, message.actor), reason_of(fields, message.reason)
        require(fields)
        cleared = await self.switches.clear(name, tenant, actor, reason, caller_of(context))
        pending = present_request(cleared.waiting)
        return control_pb2.ClearKillSwitchResponse(cleared=pending is None, pending_request=pending, waiting=pending)

    async def list(
        self, message: control_pb2.ListKillSwitchesRequest, _context: Context
    ) -> control_pb2.ListKillSwitchesResponse:
        """List the switches that are set."""
        fields = Fields()
        tenant = _tenant(fields, "tenant", message.tenant)
        if message.every_tenant and tenant:
            fields.wrong("tenant", "must be empty with every_tenant; leave out one of the two")
        require(fields)
        listed = await (self.switches.list_all() if message.every_tenant else self.switches.list(tenant))
        return control_pb2.ListKillSwitchesResponse(
            kill_switches=[_present(each.switch, each.clearing) for each in listed]
        )


def _parse_set(message: control_pb2.SetKillSwitchRequest, caller: Caller) -> NewSwitch:
    fields = Fields()
    scope, value = _scope(fields, message.scope)
    tenant = message.scope.tenant
    if scope is KillScope.GLOBAL and tenant:
        fields.wrong("scope.tenant", "must be empty with global; leave it out, or use whole_tenant")
    elif scope in _OF_A_TENANT:
        fields.tenant("scope.tenant", tenant)
    else:
        _tenant(fields, "scope.tenant", tenant)
    actor, reason = actor_of(fields, message.actor), reason_of(fields, message.reason)
    after = fields.count("expires_after_seconds", message.expires_after_seconds, KILL_SWITCH_TTL_SECONDS_MAX)
    require(fields)
    return NewSwitch(scope, tenant, value, actor, reason, after, caller)


def _scope(fields: Fields, message: control_pb2.KillScope) -> tuple[KillScope, str]:
    """The scope and its value."""
    named = message.WhichOneof("scope")
    if named is None:
        fields.wrong("scope", "is required: one of global, whole_tenant, tool, agent, workflow, run_id")
        return KillScope.GLOBAL, ""
    scope, value = _SCOPES[named], getattr(message, named)
    if isinstance(value, bool):
        if not value:
            fields.wrong(f"scope.{named}", "must be true when it is given")
        return scope, ""
    if scope is KillScope.TOOL:
        return scope, fields.tool_glob(f"scope.{named}", value)
    bytes_max = PRINCIPAL_BYTES_MAX if scope is KillScope.AGENT else LABEL_BYTES_MAX
    return scope, fields.name(f"scope.{named}", value, bytes_max, required=True)


def _tenant(fields: Fields, field: str, value: str) -> str:
    """A tenant, or none."""
    return fields.tenant(field, value) if value else ""


def _present(switch: KillSwitch, clearing: ControlRequest | None) -> control_pb2.KillSwitch:
    scope = control_pb2.KillScope(tenant=switch.tenant)
    setattr(scope, _FIELDS[switch.scope], switch.value or True)
    return control_pb2.KillSwitch(
        id=switch.switch_id,
        scope=scope,
        reason=switch.reason,
        actor=switch.actor,
        set_at=timestamp(switch.set_at_us),
        expires_at=time_or_nothing(switch.expires_at_us),
        clearing=present_request(clearing),
    )


def _present_revoked(revoked: Revoked) -> control_pb2.RevokedPermit:
    return control_pb2.RevokedPermit(
        tenant=revoked.tenant,
        decision_id=revoked.decision_id,
        tool=revoked.tool,
        agent=revoked.agent,
        run_id=revoked.run_id,
    )
