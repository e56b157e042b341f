"""SetAutonomy, ListAutonomyRules, and the deprecated ListAutonomy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.controls.autonomy.service import NewLevel
from placet.kernel.limits import LABEL_BYTES_MAX, PRINCIPAL_BYTES_MAX
from placet.tenants.known_names import Named
from placet.transport.grpc.messages.controls import actor_of, present_request, reason_of, require
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present import AUTONOMY, timestamp
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import control_pb2, decision_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from placet.controls.autonomy.documents import AutonomyOverride
    from placet.controls.autonomy.model import AutonomyLevel
    from placet.controls.autonomy.service import AutonomyAdmin
    from placet.kernel.model import Caller
    from placet.tenants.known_names import KnownNames
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog


@dataclass(frozen=True, slots=True)
class AutonomyCalls:
    """The calls about autonomy."""

    admin: AutonomyAdmin
    known: KnownNames
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "SetAutonomy": self.refusals.unary(self.set, control_pb2.SetAutonomyRequest, on_error),
            "ListAutonomyRules": self.refusals.unary(self.list_rules, control_pb2.ListAutonomyRulesRequest, on_error),
            "ListAutonomy": self.refusals.unary(self.list, control_pb2.ListAutonomyRequest, on_error),
        }

    async def set(self, message: control_pb2.SetAutonomyRequest, context: Context) -> control_pb2.SetAutonomyResponse:
        """Set a level, or take one away."""
        wanted = _parse(message, caller_of(context))
        named = Named(wanted.tenant, wanted.tool, wanted.agent, wanted.workflow)
        if message.strict:
            await self.known.require(named)
        done = await self.admin.set(wanted)
        pending = present_request(done.waiting)
        return control_pb2.SetAutonomyResponse(
            applied=pending is None,
            rule=_present(done.override) if done.override is not None else None,
            pending_request=pending,
            waiting=pending,  # deprecated: pending_request
            warnings=await self.known.warnings(named),
        )

    async def list_rules(
        self, message: control_pb2.ListAutonomyRulesRequest, _context: Context
    ) -> control_pb2.ListAutonomyRulesResponse:
        """List the rules that SetAutonomy set."""
        return control_pb2.ListAutonomyRulesResponse(rules=await self._rules(message))

    async def list(
        self, message: control_pb2.ListAutonomyRequest, _context: Context
    ) -> control_pb2.ListAutonomyResponse:
        """Answer as `list_rules` under the deprecated name."""
        return control_pb2.ListAutonomyResponse(rules=await self._rules(message))

    async def _rules(
        self, message: control_pb2.ListAutonomyRulesRequest | control_pb2.ListAutonomyRequest
    ) -> Sequence[control_pb2.AutonomyRule]:
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant)
        require(fields)
        return [_present(override) for override in await self.admin.list(tenant)]


def _parse(message: control_pb2.SetAutonomyRequest, caller: Caller) -> NewLevel:
    fields = Fields()
    tenant = fields.tenant("tenant", message.tenant)
    workflow = fields.name("workflow", message.workflow, LABEL_BYTES_MAX)
    tool = fields.tool_glob("tool", message.tool) if message.tool else ""
    agent = fields.name("agent", message.agent, PRINCIPAL_BYTES_MAX)
    level = _level(fields, message.level)
    actor, reason = actor_of(fields, message.actor), reason_of(fields, message.reason)
    require(fields)
    return NewLevel(tenant, workflow, tool, agent, level, actor, reason, caller)


def _level(fields: Fields, wire: int) -> AutonomyLevel | None:
    if wire == decision_pb2.AUTONOMY_UNSPECIFIED:
        return None
    level = next((level for level, value in AUTONOMY.items() if value == wire), None)
    if level is None:
        fields.wrong("level", f"is {wire}; must be a level of Autonomy, or UNSPECIFIED to take the rule away")
    return level


def _present(override: AutonomyOverride) -> control_pb2.AutonomyRule:
    return control_pb2.AutonomyRule(
        workflow=override.rule.workflow,
        tool=override.rule.tool,
        agent=override.rule.agent,
        level=AUTONOMY[override.rule.level],
        actor=override.actor,
        reason=override.reason,
        set_at=timestamp(override.set_at_us),
    )
