"""Reports of what allowed calls did: into the wire message, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk.asked import Asked
from placet.sdk.channel import REPORT_OUTCOME
from placet.sdk.decision import Decision
from placet.sdk.errors import error_of
from placet.sdk.failures import Failure
from placet.sdk.fields import filled, kind_of, refused
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping


class OutcomeStatus(StrEnum):
    """What became of an allowed call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


_NUMBERS: Final = {
    OutcomeStatus.SUCCEEDED: authorization_pb2.OUTCOME_STATUS_SUCCEEDED,
    OutcomeStatus.FAILED: authorization_pb2.OUTCOME_STATUS_FAILED,
    OutcomeStatus.NOT_EXECUTED: authorization_pb2.OUTCOME_STATUS_NOT_EXECUTED,
    OutcomeStatus.UNKNOWN: authorization_pb2.OUTCOME_STATUS_UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class OutcomeReceipt:
    """What a report changed: nothing when it was `repeated`. `late`: what the decision held had expired by then.

    `overspent` are budgets that are beyond their limits with it, because more was used than was asked for. `held` are
    those of which a part of it is not counted, because it is far above what was reserved, until an operator accepts it.
    """

    repeated: bool
    late: bool
    overspent: tuple[str, ...]
    held: tuple[str, ...] = ()


def ask_outcome(decision: Decision | str, status: object, tenant: str | None, said: Mapping[str, Any]) -> Asked:
    """The report. InvalidRequestError names what cannot be sent."""
    if isinstance(decision, Decision):
        decision_id, tenant = decision.decision_id, decision.tenant if tenant is None else tenant
    else:
        decision_id = kind_of(str, "decision_id", decision)
    if not decision_id:
        raise refused(("decision_id", "is empty: the server recorded no such decision, so there is nothing to report"))
    if not isinstance(status, str) or status not in _NUMBERS:
        raise refused(("status", f"must be one of {', '.join(OutcomeStatus)}, not {status!r}"))
    message = authorization_pb2.ReportOutcomeRequest(status=_NUMBERS[OutcomeStatus(status)])
    filled(message, "", decision_id=decision_id, tenant=tenant, **said)
    return Asked(REPORT_OUTCOME, (), message.SerializeToString())


def read_receipt(answer: bytes | Failure) -> OutcomeReceipt:
    """What the server said. CallFailedError when it took no report."""
    if isinstance(answer, Failure):
        raise error_of(answer)
    try:
        said = authorization_pb2.ReportOutcomeResponse.FromString(answer)
    except DecodeError as error:
        raise error_of(Failure(failures.ANSWER_INVALID, "it is no ReportOutcomeResponse")) from error
    return OutcomeReceipt(said.repeated, said.late, tuple(said.overspent), tuple(said.held))
