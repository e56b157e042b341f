"""The part of ControlServicer about autonomy: SetAutonomy, ListAutonomyRules, and the deprecated ListAutonomy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.controls.autonomy.service import NewLevel
from placet.kernel.limits import LABEL_BYTES_MAX, PRINCIPAL_BYTES_MAX
from placet.tenants.known_names import Named
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.controls import actor_of, control_request_to_proto, reason_of
from placet.transport.grpc.messages.to_proto import AUTONOMY, timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import control_pb2, control_pb2_grpc, decision_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.controls.autonomy.documents import AutonomyOverride
    from placet.controls.autonomy.model import AutonomyLevel
    from placet.controls.autonomy.service import AutonomyAdmin
    from placet.kernel.model import Caller
    from placet.tenants.known_names import KnownNames
    from placet.transport.grpc.context import Context


class AutonomyMethods(control_pb2_grpc.ControlServiceServicer):
    """Sets and lists autonomy rules."""

    autonomy: AutonomyAdmin
    known_names: KnownNames

    async def SetAutonomy(
        self, request: control_pb2.SetAutonomyRequest, _context: Context
    ) -> control_pb2.SetAutonomyResponse:
        """Set or remove a rule, or request it of a second person."""
        new = _parse(request, current_caller())
        named = Named(new.tenant, new.tool, new.agent, new.workflow)
        if request.strict:
            await self.known_names.require(named)
        result = await self.autonomy.set(new)
        pending = control_request_to_proto(result.waiting)
        return control_pb2.SetAutonomyResponse(
            applied=pending is None,
            rule=_rule_to_proto(result.override) if result.override is not None else None,
            pending_request=pending,
            waiting=pending,  # deprecated: pending_request
            warnings=await self.known_names.warnings(named),
        )

    async def ListAutonomyRules(
        self, request: control_pb2.ListAutonomyRulesRequest, _context: Context
    ) -> control_pb2.ListAutonomyRulesResponse:
        """List the rules that SetAutonomy set."""
        return control_pb2.ListAutonomyRulesResponse(rules=await self._rules(request))

    async def ListAutonomy(
        self, request: control_pb2.ListAutonomyRequest, _context: Context
    ) -> control_pb2.ListAutonomyResponse:
        """Answer as ListAutonomyRules, under the deprecated name."""
        return control_pb2.ListAutonomyResponse(rules=await self._rules(request))

    async def _rules(
        self, request: control_pb2.ListAutonomyRulesRequest | control_pb2.ListAutonomyRequest
    ) -> Sequence[control_pb2.AutonomyRule]:
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        validator.require_valid()
        return [_rule_to_proto(override) for override in await self.autonomy.list(tenant)]


def _parse(request: control_pb2.SetAutonomyRequest, caller: Caller) -> NewLevel:
    validator = RequestValidator()
    tenant = validator.tenant("tenant", request.tenant)
    workflow = validator.name("workflow", request.workflow, LABEL_BYTES_MAX)
    tool = validator.tool_glob("tool", request.tool) if request.tool else ""
    agent = validator.name("agent", request.agent, PRINCIPAL_BYTES_MAX)
    level = _level(validator, request.level)
    actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
    validator.require_valid()
    return NewLevel(tenant, workflow, tool, agent, level, actor, reason, caller)


def _level(validator: RequestValidator, number: int) -> AutonomyLevel | None:
    """Return the level; None to remove the rule."""
    level = AUTONOMY.from_wire.get(number)
    if level is None and number != decision_pb2.AUTONOMY_UNSPECIFIED:
        validator.violation("level", f"is {number}; must be a level of Autonomy, or UNSPECIFIED to remove the rule")
    return level


def _rule_to_proto(override: AutonomyOverride) -> control_pb2.AutonomyRule:
    return control_pb2.AutonomyRule(
        workflow=override.rule.workflow,
        tool=override.rule.tool,
        agent=override.rule.agent,
        level=AUTONOMY.to_wire[override.rule.level],
        actor=override.actor,
        reason=override.reason,
        set_at=timestamp(override.set_at_us),
    )
