"""A gRPC server whose responses a test scripts: valid, malformed, late or missing."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from placet.v1 import authorization_pb2, decision_pb2
from tests.sdk.scripted_stream import ScriptedStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

AUTHORIZE = "/placet.v1.AuthorizationService/Authorize"
AUTHORIZE_STREAM = "/placet.v1.AuthorizationService/AuthorizeStream"
AUTHORIZE_BATCH = "/placet.v1.AuthorizationService/AuthorizeBatch"
QUERY_DECISIONS = "/placet.v1.AuditService/QueryDecisions"
GET_DECISION = "/placet.v1.AuditService/GetDecision"
VERIFY_AUDIT = "/placet.v1.AuditService/VerifyAudit"
GET_POLICY_STATUS = "/placet.v1.ControlService/GetPolicyStatus"


@dataclass(eq=False)
class ScriptedServer(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in its stubs, not at run time
    """`script(method, *answers)`: one answer for each call, the last one for all that follow.

    An answer is a message, raw bytes, or a function of the raw request and the context. Requests of a stream are
    answered by the script of Authorize. `stream_ends` has a function of the context for each stream, which ends it
    after `stream_requests_max` requests, the last of which has no answer. Later streams end when their caller does.
    """

    calls: list[tuple[str, bytes, dict[str, Any]]] = field(default_factory=list)
    address: str = ""
    streams: int = 0
    stream_ends: list[Callable[[Any], None]] = field(default_factory=list)
    stream_requests_max: int = 1
    _answers: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: grpc.Server | None = None

    def script(self, method: str, *answers: Any) -> None:
        self._answers[method] = list(answers)

    def requests(self, method: str) -> list[bytes]:
        return [raw for name, raw, _ in self.calls if name == method]

    def authorized(self) -> list[authorization_pb2.AuthorizeRequest]:
        return [authorization_pb2.AuthorizeRequest.FromString(raw) for raw in self.requests(AUTHORIZE)]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = handler_call_details.method

        if method == AUTHORIZE_STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(lambda raw, context: self._answer(method, raw, context))

    def _answer(self, method: str, raw: bytes, context: Any) -> bytes:
        with self._lock:
            self.calls.append((method, raw, dict(context.invocation_metadata())))
            answers = self._answers[method]
            if not answers:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in the script")
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(raw, context)
        return answer if isinstance(answer, bytes) else bytes(answer.SerializeToString())

    def _stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._lock:
            self.streams += 1
            end = self.stream_ends.pop(0) if self.stream_ends else None
        requests_max = None if end is None else self.stream_requests_max
        stream = ScriptedStream(context, lambda raw, request: self._answer(AUTHORIZE, raw, request), requests_max)
        yield from stream.answers(messages)
        if end is not None:
            end(context)

    def start(self, address: str = "127.0.0.1:0", message_bytes_max: int = -1) -> Self:
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", message_bytes_max)]
        self._server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self], options=options)
        port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        self._server.start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(None).wait(10)


def allow(**changes: Any) -> authorization_pb2.AuthorizeResponse:
    """An allow that a client accepts, with changes to its decision."""
    return authorization_pb2.AuthorizeResponse(decision=decision(**changes))


def decision(**changes: Any) -> decision_pb2.Decision:
    rule = changes.get("rule_id", "allowlist.read_tool")
    effect = changes.get("effect", decision_pb2.EFFECT_ALLOW)
    base: dict[str, Any] = {
        "decision_id": "dec_" + "0" * 32,
        "effect": effect,
        "rule_id": rule,
        "reason": "Because",
        "findings": [decision_pb2.Finding(effect=effect, rule_id=rule, reason="Because")],
        "policy_revision": "rev1",
        "action_digest": "ab" * 32,
    }
    message = decision_pb2.Decision(**(base | changes))
    message.decided_at.FromMicroseconds(1_777_055_581_123_456)
    return message


def denial(rule_id: str = "refunds.role_missing") -> authorization_pb2.AuthorizeResponse:
    return allow(effect=decision_pb2.EFFECT_DENY, rule_id=rule_id)


def approval_needed(quorum: int = 2) -> authorization_pb2.AuthorizeResponse:
    answer = allow(effect=decision_pb2.EFFECT_REQUIRE_APPROVAL, rule_id="refunds.over_limit")
    answer.decision.approval.quorum = quorum
    answer.decision.approval.approver_roles.append("support_lead")
    answer.decision.findings[0].details.update({"quorum": quorum, "approver_roles": ["support_lead"], "ratio": 0.5})
    return answer


def status(
    code: grpc.StatusCode,
    text: str = "no",
    *,
    retry_after: float | None = None,
    violations: Sequence[tuple[str, str]] = (),
    reason: str = "TEST",
) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """An answer that ends the call with this status and the details that the server would send."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain="placet")]
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(retry_after * 1_000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if violations:
        named = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
        details.append(error_details_pb2.BadRequest(field_violations=named))
    packed = []
    for detail in details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)

    def answer(raw: bytes, context: grpc.ServicerContext) -> bytes:
        del raw
        context.abort_with_status(
            rpc_status.to_status(status_pb2.Status(code=code.value[0], message=text, details=packed))
        )
        raise AssertionError("abort_with_status raises")

    return answer


def plain_status(
    code: grpc.StatusCode, text: str = "no", trailer: bytes | None = None
) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """A status without details, or with a trailer that a test chooses."""

    def answer(raw: bytes, context: grpc.ServicerContext) -> bytes:
        del raw
        if trailer is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", trailer),))
        context.abort(code, text)
        raise AssertionError("abort raises")

    return answer


def late(seconds: float = 30.0) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """No response until the caller ends the call."""

    def answer(raw: bytes, context: grpc.ServicerContext) -> bytes:
        del raw
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(seconds)
        return b""

    return answer
