"""Outcomes to protobuf messages, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk._wire.calls import PreparedCall
from placet.sdk._wire.controls import actor_to_proto
from placet.sdk._wire.decode import time_from_proto
from placet.sdk._wire.fields import invalid, require_type, set_fields
from placet.sdk._wire.methods import REPORT_OUTCOME
from placet.sdk.decision import Decision
from placet.sdk.errors import error_from_failure
from placet.sdk.failures import Failure
from placet.sdk.outcomes import ExcessPart, OutcomeExcess, OutcomeReceipt, OutcomeStatus
from placet.v1 import authorization_pb2, control_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS_TO_PROTO: Final = {
    OutcomeStatus.SUCCEEDED: authorization_pb2.OUTCOME_STATUS_SUCCEEDED,
    OutcomeStatus.FAILED: authorization_pb2.OUTCOME_STATUS_FAILED,
    OutcomeStatus.NOT_EXECUTED: authorization_pb2.OUTCOME_STATUS_NOT_EXECUTED,
    OutcomeStatus.UNKNOWN: authorization_pb2.OUTCOME_STATUS_UNKNOWN,
}


def prepare_report_outcome(
    decision: Decision | str, status: object, tenant: str | None, permit: str | None, fields: Mapping[str, Any]
) -> PreparedCall:
    """Return the call that reports an outcome. Raises InvalidRequestError."""
    if isinstance(decision, Decision):
        decision_id, tenant = decision.decision_id, decision.tenant if tenant is None else tenant
        permit = decision.permit if permit is None else permit
    else:
        decision_id = require_type(str, "decision_id", decision)
    if not decision_id:
        raise invalid(("decision_id", "is empty: the server recorded no such decision, so there is nothing to report"))
    if not isinstance(status, str) or status not in _STATUS_TO_PROTO:
        raise invalid(("status", f"must be one of {', '.join(OutcomeStatus)}, not {status!r}"))
    message = authorization_pb2.ReportOutcomeRequest(status=_STATUS_TO_PROTO[OutcomeStatus(status)])
    set_fields(message, "", decision_id=decision_id, tenant=tenant, permit=permit or "", **fields)
    return PreparedCall(REPORT_OUTCOME, (), message.SerializeToString())


def receipt_from_answer(answer: bytes | Failure) -> OutcomeReceipt:
    """Return the receipt. Raises CallFailedError if the server recorded no report."""
    if isinstance(answer, Failure):
        raise error_from_failure(answer)
    try:
        message = authorization_pb2.ReportOutcomeResponse.FromString(answer)
    except DecodeError as error:
        failure = Failure(failures.ANSWER_INVALID, "it is not a response of ReportOutcome")
        raise error_from_failure(failure) from error
    return OutcomeReceipt(  # an older server sets only the deprecated fields `repeated` and `overspent`
        duplicate=message.duplicate or message.repeated,
        late=message.late,
        exceeded_budget_ids=tuple(message.exceeded_budget_ids or message.overspent),
        held=tuple(message.held),
        kept_budget_ids=tuple(message.kept_budget_ids),
    )


def excess_verdict_to_proto(
    tenant: str, decision_id: str, *, accept: bool, actor: str, reason: str
) -> control_pb2.DecideOutcomeExcessRequest:
    """Return the message that accepts or drops an excess. Raises InvalidRequestError."""
    verdict = control_pb2.EXCESS_VERDICT_ACCEPT if accept else control_pb2.EXCESS_VERDICT_DROP
    message = control_pb2.DecideOutcomeExcessRequest(verdict=verdict, actor=actor_to_proto(actor))
    return set_fields(message, "", tenant=tenant, decision_id=decision_id, reason=reason)


def outcome_excess_from_proto(message: control_pb2.OutcomeExcess) -> OutcomeExcess:
    """Return the excess."""
    return OutcomeExcess(
        tenant=message.tenant,
        decision_id=message.decision_id,
        caller=message.caller,
        agent=message.agent,
        user=message.user,
        run_id=message.run_id,
        tool=message.tool,
        reported_at=time_from_proto(message.reported_at),
        parts=tuple(
            ExcessPart(part.budget_id, part.unit, part.window_key, part.scope_key, part.amount)
            for part in message.parts
        ),
    )
