"""ListOutcomeExcesses, DecideOutcomeExcess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import LABEL_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX
from placet.outcomes.excess_service import ExcessWord
from placet.transport.grpc.messages.controls import actor_of, reason_of, require
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present import timestamp
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.budgets.excess import OutcomeExcess
    from placet.kernel.model import Caller
    from placet.outcomes.excess_service import OutcomeExcesses
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog

_ACCEPTS: Final = {control_pb2.EXCESS_VERDICT_ACCEPT: True, control_pb2.EXCESS_VERDICT_DROP: False}


@dataclass(frozen=True, slots=True)
class ExcessCalls:
    """The calls about what outcomes named far above what was reserved."""

    excesses: OutcomeExcesses
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "ListOutcomeExcesses": self.refusals.unary(self.list, control_pb2.ListOutcomeExcessesRequest, on_error),
            "DecideOutcomeExcess": self.refusals.unary(self.decide, control_pb2.DecideOutcomeExcessRequest, on_error),
        }

    async def list(
        self, message: control_pb2.ListOutcomeExcessesRequest, _context: Context
    ) -> control_pb2.ListOutcomeExcessesResponse:
        """A page of what waits, newest first."""
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant)
        size = fields.count("page_size", message.page_size, PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT
        require(fields)
        page = await self.excesses.list(tenant, size, message.page_token)
        return control_pb2.ListOutcomeExcessesResponse(
            excesses=[_present(each) for each in page.excesses], next_page_token=page.next_page_token
        )

    async def decide(
        self, message: control_pb2.DecideOutcomeExcessRequest, context: Context
    ) -> control_pb2.DecideOutcomeExcessResponse:
        """Count one, or drop it."""
        excess = await self.excesses.decide(_parse(message, caller_of(context)))
        return control_pb2.DecideOutcomeExcessResponse(excess=_present(excess))


def _parse(message: control_pb2.DecideOutcomeExcessRequest, caller: Caller) -> ExcessWord:
    fields = Fields()
    tenant = fields.tenant("tenant", message.tenant)
    decision_id = fields.text("decision_id", message.decision_id, LABEL_BYTES_MAX, required=True)
    accept = _ACCEPTS.get(message.verdict)
    if accept is None:
        given = f"{message.verdict} is none" if message.verdict else "is required"
        fields.wrong("verdict", f"{given}: EXCESS_VERDICT_ACCEPT or EXCESS_VERDICT_DROP")
    actor, reason = actor_of(fields, message.actor), reason_of(fields, message.reason)
    require(fields)
    return ExcessWord(tenant, decision_id, bool(accept), actor, reason, caller)


def _present(excess: OutcomeExcess) -> control_pb2.OutcomeExcess:
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
                budget_id=each.counter.budget_id,
                unit=each.counter.unit,
                window_key=each.counter.window_key,
                scope_key=each.counter.scope_key,
                amount=each.amount,
            )
            for each in excess.parts
        ],
    )
