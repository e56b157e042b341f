"""The part of ControlServicer about outcome excesses: ListOutcomeExcesses, DecideOutcomeExcess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.limits import LABEL_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from placet.outcomes.excess_service import ExcessCommand
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.controls import actor_of, reason_of
from placet.transport.grpc.messages.to_proto import timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import control_pb2, control_pb2_grpc

if TYPE_CHECKING:
    from placet.budgets.excess import OutcomeExcess
    from placet.kernel.model import Caller
    from placet.outcomes.excess_service import OutcomeExcesses
    from placet.transport.grpc.context import Context

_ACCEPTS: Final = {control_pb2.EXCESS_VERDICT_ACCEPT: True, control_pb2.EXCESS_VERDICT_DROP: False}


class ExcessMethods(control_pb2_grpc.ControlServiceServicer):
    """Lists and decides outcome excesses: reported amounts far above what was reserved."""

    excesses: OutcomeExcesses

    async def ListOutcomeExcesses(
        self, request: control_pb2.ListOutcomeExcessesRequest, _context: Context
    ) -> control_pb2.ListOutcomeExcessesResponse:
        """Return a page of the undecided excesses, newest first."""
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        size = validator.count("page_size", request.page_size, PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT
        validator.require_valid()
        page = await self.excesses.list(tenant, size, request.page_token)
        return control_pb2.ListOutcomeExcessesResponse(
            excesses=[_excess_to_proto(excess) for excess in page.excesses], next_page_token=page.next_page_token
        )

    async def DecideOutcomeExcess(
        self, request: control_pb2.DecideOutcomeExcessRequest, _context: Context
    ) -> control_pb2.DecideOutcomeExcessResponse:
        """Accept or drop an excess."""
        excess = await self.excesses.decide(_parse(request, current_caller()))
        return control_pb2.DecideOutcomeExcessResponse(excess=_excess_to_proto(excess))


def _parse(request: control_pb2.DecideOutcomeExcessRequest, caller: Caller) -> ExcessCommand:
    validator = RequestValidator()
    tenant = validator.tenant("tenant", request.tenant)
    decision_id = validator.text("decision_id", request.decision_id, LABEL_BYTES_MAX, required=True)
    if request.verdict not in _ACCEPTS:
        found = f"{request.verdict} is not a verdict" if request.verdict else "is required"
        validator.violation("verdict", f"{found}; use EXCESS_VERDICT_ACCEPT or EXCESS_VERDICT_DROP")
    actor, reason = actor_of(validator, request.actor), reason_of(validator, request.reason)
    validator.require_valid()
    return ExcessCommand(tenant, decision_id, _ACCEPTS[request.verdict], actor, reason, caller)


def _excess_to_proto(excess: OutcomeExcess) -> control_pb2.OutcomeExcess:
    return control_pb2.OutcomeExcess(
        tenant=excess.tenant,
        decision_id=excess.decision_id,
        caller=excess.caller,
        agent=excess.agent,
        user=excess.user,
        run_id=excess.run_id,
        tool=excess.tool,
        reported_at=timestamp(excess.reported_at_us),
        parts=[
            control_pb2.OutcomeExcessPart(
                budget_id=part.counter.budget_id,
                unit=part.counter.unit,
                window_key=part.counter.window_key,
                scope_key=part.counter.scope_key,
                amount=part.amount,
            )
            for part in excess.parts
        ],
    )
