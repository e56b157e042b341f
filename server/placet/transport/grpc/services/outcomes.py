"""The part of AuthorizationServicer that records outcomes: ReportOutcome."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.identity.permissions import PERMIT_NOT_ACCEPTED, is_executor
from placet.kernel.errors import PermissionDeniedError, PlacetError
from placet.kernel.limits import LABEL_BYTES_MAX, PERMIT_BYTES_MAX
from placet.permits.verification import PermitVerifier
from placet.transport.grpc.interceptors.caller import current_caller, current_principal
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import authorization_pb2, authorization_pb2_grpc

if TYPE_CHECKING:
    from placet.kernel.model import Caller
    from placet.outcomes.service import OutcomeReply
    from placet.permits.issuing import PermitIssuer
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.flows import Flows

STATUSES: Final = enum_codec(OutcomeStatus, authorization_pb2.OutcomeStatus)
_NUMBERS: Final = ("tokens", "cost_micros", "amount_minor_units")


class OutcomeMethods(authorization_pb2_grpc.AuthorizationServiceServicer):
    """Records the outcomes of allowed calls."""

    outcomes: Batcher[OutcomeReport, OutcomeReply]
    flows: Flows
    permits: PermitIssuer

    async def ReportOutcome(
        self, request: authorization_pb2.ReportOutcomeRequest, _context: Context
    ) -> authorization_pb2.ReportOutcomeResponse:
        """Record one outcome."""
        report = self._as_reporter(parse_report(request, current_caller()), request.permit)
        [reply] = await self.outcomes.submit([report], self.flows.of(report.tenant))
        if isinstance(reply, PlacetError):
            raise reply
        return authorization_pb2.ReportOutcomeResponse(
            repeated=reply.repeated,  # deprecated: duplicate
            late=reply.late,
            overspent=reply.exceeded_budget_ids,  # deprecated: exceeded_budget_ids
            held=reply.held,
            duplicate=reply.repeated,
            exceeded_budget_ids=reply.exceeded_budget_ids,
            kept_budget_ids=reply.kept,
        )

    def _as_reporter(self, report: OutcomeReport, permit: str) -> OutcomeReport:
        """Return the report with what its caller is to the call. PermissionDeniedError for the permit of another."""
        if permit and not PermitVerifier(self.permits.keys).is_of(permit, report.tenant, report.decision_id):
            raise PermissionDeniedError(
                PERMIT_NOT_ACCEPTED, "permit: is not the permit of this decision; send the one of its allow, or none"
            )
        by_executor = is_executor(current_principal(), report.tenant)
        return replace(report, by_executor=by_executor, holds_permit=bool(permit))


def parse_report(request: authorization_pb2.ReportOutcomeRequest, caller: Caller) -> OutcomeReport:
    """Return the report. InvalidRequestError names every field that is wrong."""
    validator = RequestValidator()
    validator.tenant("tenant", request.tenant)
    validator.text("decision_id", request.decision_id, LABEL_BYTES_MAX, required=True)
    if request.status not in STATUSES.from_wire:
        found = f"{request.status} is not a status" if request.status else "is required"
        validator.violation("status", f"{found}; use OUTCOME_STATUS_SUCCEEDED, _FAILED, _NOT_EXECUTED or _UNKNOWN")
    numbers = {
        name: validator.count(name, getattr(request, name)) if request.HasField(name) else None for name in _NUMBERS
    }
    latency_ms = validator.count("latency_ms", request.latency_ms)
    error_class = validator.text("error_class", request.error_class, LABEL_BYTES_MAX)
    result_digest = validator.sha256("result_digest", request.result_digest)
    validator.text("permit", request.permit, PERMIT_BYTES_MAX)
    validator.require_valid()
    status = STATUSES.from_wire[request.status]
    outcome = Outcome(status, latency_ms, **numbers, error_class=error_class, result_digest=result_digest)
    return OutcomeReport(request.tenant, request.decision_id, caller, outcome)
