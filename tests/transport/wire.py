"""Calls over gRPC as bytes, and their errors."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from placet.v1 import audit_pb2, authorization_pb2, control_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SECONDS_MAX = 30.0
PARAM_SECRET = "param-5ecret-value"  # noqa: S105 - no password: it must never appear in a record
AUTHORIZE = "/placet.v1.AuthorizationService/Authorize"
AUTHORIZE_BATCH = "/placet.v1.AuthorizationService/AuthorizeBatch"
QUERY = "/placet.v1.AuditService/QueryDecisions"
GET = "/placet.v1.AuditService/GetDecision"
VERIFY = "/placet.v1.AuditService/VerifyAudit"
STATUS = "/placet.v1.ControlService/GetPolicyStatus"

Reply = TypeVar("Reply", bound=Message)


@dataclass
class Refusal(Exception):  # noqa: N818 - a response of the server
    """A non-OK status with its details. `violations` maps fields to descriptions."""

    code: grpc.StatusCode
    text: str
    reason: str = ""
    domain: str = ""
    violations: dict[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None


class Wire:
    """A channel to a server."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])

    def close(self) -> None:
        self._channel.close()

    def raw(
        self,
        method: str,
        message: bytes,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout: float = SECONDS_MAX,
    ) -> bytes:
        """Return the bytes of the response. Refusal if the status is not OK."""
        try:
            answer: bytes = self._channel.unary_unary(method, None, None)(message, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise refusal_of(error) from error
        return answer

    def authorize(self, message: authorization_pb2.AuthorizeRequest, *metadata: tuple[str, str]) -> Any:
        """Return the decision."""
        answer = self.raw(AUTHORIZE, message.SerializeToString(), metadata)
        return authorization_pb2.AuthorizeResponse.FromString(answer).decision

    def authorize_batch(self, messages: Sequence[authorization_pb2.AuthorizeRequest]) -> list[Any]:
        """Return the decisions."""
        batch = authorization_pb2.AuthorizeBatchRequest(requests=messages)
        answer = self.raw(AUTHORIZE_BATCH, batch.SerializeToString())
        return list(authorization_pb2.AuthorizeBatchResponse.FromString(answer).decisions)

    def query(self, **conditions: Any) -> audit_pb2.QueryDecisionsResponse:
        """Return a page."""
        asked = audit_pb2.QueryDecisionsRequest(**conditions)
        return self._ask(QUERY, asked, audit_pb2.QueryDecisionsResponse.FromString)

    def get(self, tenant: str, decision_id: str) -> audit_pb2.RecordedDecision:
        """Return one recorded decision."""
        asked = audit_pb2.GetDecisionRequest(tenant=tenant, decision_id=decision_id)
        return self._ask(GET, asked, audit_pb2.GetDecisionResponse.FromString).decision

    def verify(self) -> audit_pb2.VerifyAuditResponse:
        """Return the result of the verification."""
        return self._ask(VERIFY, audit_pb2.VerifyAuditRequest(), audit_pb2.VerifyAuditResponse.FromString)

    def status(self) -> control_pb2.GetPolicyStatusResponse:
        """Return the policy status."""
        return self._ask(STATUS, control_pb2.GetPolicyStatusRequest(), control_pb2.GetPolicyStatusResponse.FromString)

    def _ask(self, method: str, asked: Message, read: Callable[[bytes], Reply]) -> Reply:
        return read(self.raw(method, asked.SerializeToString()))


def refusal_of(error: grpc.RpcError) -> Refusal:
    """Return the status with its details."""
    refusal = Refusal(error.code(), error.details() or "")
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # what a call raises is a Call as well
    for packed in status.details if status is not None else ():
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            detail = kind()
            if packed.Unpack(detail):
                _take(refusal, detail)
    return refusal


def _take(refusal: Refusal, detail: Any) -> None:
    match detail.DESCRIPTOR.name:
        case "ErrorInfo":
            refusal.reason, refusal.domain = detail.reason, detail.domain
        case "BadRequest":
            refusal.violations = {each.field: each.description for each in detail.field_violations}
        case "RetryInfo":
            refusal.retry_after_seconds = detail.retry_delay.ToMilliseconds() / 1_000


def request(changes: Mapping[str, Any] | None = None) -> authorization_pb2.AuthorizeRequest:
    """Return a valid request with a new key, changed by dotted paths."""
    content: dict[str, Any] = {
        "idempotency_key": uuid.uuid4().hex,
        "action": {"tool": "kb.search", "params_json": f'{{"q":"{PARAM_SECRET}"}}'},
        "identity": {"agent": "support-agent", "tenant": "acme", "user": "u_4812"},
    }
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return ParseDict(content, authorization_pb2.AuthorizeRequest())
