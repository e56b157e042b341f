"""AuthorizationService.ReportOutcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.kernel.errors import InvalidRequestError, PlacetError
from placet.kernel.limits import LABEL_BYTES_MAX
from placet.transport.grpc.handlers import unary
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.outcomes.service import OutcomeReply
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.flows import Flows
    from placet.transport.grpc.refused_requests import RefusalLog

_STATUS_OF: Final = {
    authorization_pb2.OUTCOME_STATUS_SUCCEEDED: OutcomeStatus.SUCCEEDED,
    authorization_pb2.OUTCOME_STATUS_FAILED: OutcomeStatus.FAILED,
    authorization_pb2.OUTCOME_STATUS_NOT_EXECUTED: OutcomeStatus.NOT_EXECUTED,
    authorization_pb2.OUTCOME_STATUS_UNKNOWN: OutcomeStatus.UNKNOWN,
}
_NUMBERS: Final = ("tokens", "cost_micros", "amount_minor_units")


@dataclass(frozen=True, slots=True)
class OutcomeReports:
    """Parses reports, has them taken, answers."""

    outcomes: Batcher[OutcomeReport, OutcomeReply]
    refusals: RefusalLog
    flows: Flows

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        asked = authorization_pb2.ReportOutcomeRequest
        return {"ReportOutcome": unary(self.report_outcome, asked, on_error, self.refusals.malformed)}

    async def report_outcome(
        self, message: authorization_pb2.ReportOutcomeRequest, context: Context
    ) -> authorization_pb2.ReportOutcomeResponse:
        """Take one report."""
        try:
            report = parse_report(message, caller_of(context).name)
        except InvalidRequestError as error:
            await self.refusals.refused("ReportOutcome", message.tenant, error, context)
            raise
        [told] = await self.outcomes.submit([report], self.flows.of(report.tenant, context))
        if isinstance(told, PlacetError):
            raise told
        return authorization_pb2.ReportOutcomeResponse(
            repeated=told.repeated,  # deprecated: duplicate
            late=told.late,
            overspent=told.overspent,  # deprecated: exceeded_budget_ids
            held=told.held,
            duplicate=told.repeated,
            exceeded_budget_ids=told.overspent,
        )


def parse_report(message: authorization_pb2.ReportOutcomeRequest, caller: str) -> OutcomeReport:
    """The report. InvalidRequestError names every field that is wrong."""
    fields = Fields()
    fields.tenant("tenant", message.tenant)
    fields.text("decision_id", message.decision_id, LABEL_BYTES_MAX, required=True)
    status = _STATUS_OF.get(message.status)
    if status is None:
        given = f"{message.status} is none" if message.status else "is required"
        fields.wrong("status", f"{given}: OUTCOME_STATUS_SUCCEEDED, _FAILED, _NOT_EXECUTED or _UNKNOWN")
    numbers = {
        name: fields.count(name, getattr(message, name)) if message.HasField(name) else None for name in _NUMBERS
    }
    latency_ms = fields.count("latency_ms", message.latency_ms)
    error_class = fields.text("error_class", message.error_class, LABEL_BYTES_MAX)
    result_digest = fields.sha256("result_digest", message.result_digest)
    if status is None or fields.violations:
        raise InvalidRequestError(fields.violations)
    outcome = Outcome(status, latency_ms, **numbers, error_class=error_class, result_digest=result_digest)
    return OutcomeReport(message.tenant, message.decision_id, caller, outcome)
