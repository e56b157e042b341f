"""The interceptor chain: its order, and the effect of each interceptor on a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.kernel.errors import FieldViolation, InvalidRequestError, LedgerUnavailableError
from placet.kernel.limits import ACTION_BYTES_MAX
from placet.scheduling.batching import Batcher
from placet.transport.grpc.intake import Intake
from placet.transport.grpc.interceptors.caller import CallerInterceptor, current_caller
from placet.transport.grpc.interceptors.chain import interceptor_chain
from placet.transport.grpc.interceptors.deserialization import DeserializationInterceptor
from placet.transport.grpc.interceptors.errors import ErrorInterceptor
from placet.transport.grpc.interceptors.intake import IntakeInterceptor
from placet.transport.grpc.interceptors.invalid_requests import InvalidRequestInterceptor, InvalidRequestRecorder
from placet.v1 import audit_pb2, authorization_pb2
from tests.support.fakes import FixedClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from placet.audit.records import Commitment

AUTHORIZE = "/placet.v1.AuthorizationService/Authorize"
WATCH = "/placet.v1.AuthorizationService/WatchDecision"
STREAM = "/placet.v1.AuthorizationService/AuthorizeStream"
QUERY = "/placet.v1.AuditService/QueryDecisions"
END = object()
"""Stands for grpc.aio.EOF, which is not bytes."""
ANSWER = authorization_pb2.AuthorizeResponse()


class Call:
    """A call whose request has arrived. Keeps the responses and the status."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.written: list[Any] = []
        self.code: grpc.StatusCode | None = None
        self.text = ""

    def peer(self) -> str:
        return "ipv4:192.0.2.1:5000"

    async def read(self) -> bytes:
        return self._raw

    async def write(self, message: object) -> None:
        self.written.append(message)

    async def abort(self, code: grpc.StatusCode, text: str, _metadata: object) -> None:
        self.code, self.text = code, text
        raise grpc.aio.AbortError("Locally aborted.")


class StreamedCall(Call):
    """A stream that has one message and ends. `fails` is raised by writes."""

    fails: Exception | None = None
    _end: object = None

    async def read(self) -> Any:
        raw, self._end = self._raw if self._end is None else self._end, END
        return raw

    async def write(self, message: object) -> None:
        if self.fails is not None:
            raise self.fails
        await super().write(message)

    def answers(self) -> list[authorization_pb2.StreamedResponse]:
        messages = [authorization_pb2.AuthorizeStreamResponse.FromString(each) for each in self.written]
        return [answer for message in messages for answer in message.responses]


class Details:
    invocation_metadata = ()

    def __init__(self, method: str) -> None:
        self.method = method


class ChainEnv:
    """The interceptor chain around a behavior. Keeps its records and unexpected errors."""

    def __init__(self, ledger_error: Exception | None = None) -> None:
        self.records: list[Commitment] = []
        self.errors: list[BaseException] = []
        self.found = 0
        self._ledger_error = ledger_error

    async def _commit(self, commitments: Sequence[Commitment]) -> list[Any]:
        if self._ledger_error is not None:
            raise self._ledger_error
        self.records += commitments
        return [None] * len(commitments)

    async def call(
        self,
        raw: bytes,
        behavior: Callable[..., Any],
        path: str = AUTHORIZE,
        request_type: Any = authorization_pb2.AuthorizeRequest,
        times: int = 1,
    ) -> tuple[Call, Any]:
        """Run the call `times` times. Return the last call and its response."""
        make = grpc.unary_stream_rpc_method_handler if path == WATCH else grpc.unary_unary_rpc_method_handler
        find = self._chain(make(behavior, request_type.FromString, None), path)
        for _ in range(times):
            wrapped = await find()
            call, response = Call(raw), None
            try:
                response = await (wrapped.stream_unary or wrapped.stream_stream)(None, call)
            except grpc.aio.AbortError:
                assert call.code is not None
        return call, response

    async def stream(self, call: StreamedCall, behavior: Callable[..., Any]) -> None:
        """Run a stream."""
        request_type = authorization_pb2.AuthorizeStreamRequest
        handler = grpc.stream_stream_rpc_method_handler(behavior, request_type.FromString, None)
        wrapped = await self._chain(handler, STREAM)()
        try:
            await wrapped.stream_stream(None, call)
        except grpc.aio.AbortError:
            assert call.code is not None

    def _chain(self, handler: Any, path: str) -> Callable[[], Awaitable[Any]]:
        """Return a function that finds the wrapped handler, as gRPC does for each call."""

        async def find(_details: object) -> Any:
            self.found += 1
            return handler

        recorder = InvalidRequestRecorder(Batcher(self._commit, depth_max=10), FixedClock())
        chain: list[Any] = interceptor_chain(Intake(lambda _why, _count: None), recorder, self.errors.append)
        continuation: Any = find
        for interceptor in reversed(chain[1:]):
            continuation = _next(interceptor, continuation)
        return lambda: chain[0].intercept_service(continuation, Details(path))


def _next(interceptor: Any, continuation: Any) -> Any:
    async def run(details: Any) -> Any:
        return await interceptor.intercept_service(continuation, details)

    return run


async def answered(_request: object, _context: object) -> authorization_pb2.AuthorizeResponse:
    return ANSWER


def violating(field: str) -> Callable[..., Any]:
    async def refuse(_request: object, _context: object) -> None:
        raise InvalidRequestError([FieldViolation(field, "is wrong")])

    return refuse


def recorded(env: ChainEnv) -> list[tuple[str, str, str, int]]:
    return [
        (record.kind.value, record.tenant, str(record.fields["method"]), int(record.fields["violations"]))
        for record in env.records
    ]


def request(tenant: str = "acme") -> bytes:
    message = authorization_pb2.AuthorizeRequest()
    message.identity.tenant = tenant
    return message.SerializeToString()


def test_the_order() -> None:
    recorder: Any = None
    chain = interceptor_chain(Intake(lambda _why, _count: None), recorder, print)
    assert [type(interceptor) for interceptor in chain] == [
        IntakeInterceptor,
        ErrorInterceptor,
        CallerInterceptor,
        InvalidRequestInterceptor,
        DeserializationInterceptor,
    ]


async def test_a_servicer_receives_the_message_and_the_caller() -> None:
    async def look(message: Any, _context: object) -> authorization_pb2.AuthorizeResponse:
        assert message.identity.tenant == "acme"
        assert current_caller().peer == "ipv4:192.0.2.1:5000"
        return ANSWER

    env = ChainEnv()
    call, response = await env.call(request(), look)
    assert (call.code, response, env.records, env.errors) == (None, ANSWER, [], [])


async def test_a_method_is_wrapped_once() -> None:
    env = ChainEnv()
    await env.call(request(), answered, times=5)
    assert env.found == 1


async def test_there_is_no_caller_outside_a_call() -> None:
    with pytest.raises(LookupError):
        current_caller()


async def test_invalid_bytes_are_recorded_without_method_and_tenant() -> None:
    env = ChainEnv()
    call, _ = await env.call(b"\xff" * 40, answered)
    assert call.code is grpc.StatusCode.INVALID_ARGUMENT
    assert recorded(env) == [("request.refused", "", "", 1)]


async def test_a_message_that_is_too_large_is_recorded_with_its_size() -> None:
    env = ChainEnv()
    call, _ = await env.call(b"\x32\x00" * ACTION_BYTES_MAX, answered)
    assert f"at most {ACTION_BYTES_MAX} are accepted" in call.text
    assert f"at most {ACTION_BYTES_MAX} are accepted" in env.records[0].parts["refusal"].decode()
    assert recorded(env) == [("request.refused", "", "", 1)]


async def test_invalid_fields_are_recorded_with_method_and_tenant() -> None:
    env = ChainEnv()
    call, _ = await env.call(request(), violating("action.tool"))
    assert (call.code, call.text) == (grpc.StatusCode.INVALID_ARGUMENT, "action.tool: is wrong")
    assert recorded(env) == [("request.refused", "acme", "Authorize", 1)]


async def test_a_malformed_tenant_is_not_recorded() -> None:
    env = ChainEnv()
    await env.call(request("No Tenant"), violating("identity.tenant"))
    assert recorded(env) == [("request.refused", "", "Authorize", 1)]


@pytest.mark.parametrize("raw", [b"\xff" * 40, audit_pb2.QueryDecisionsRequest(tenant="acme").SerializeToString()])
async def test_invalid_audit_calls_are_not_recorded(raw: bytes) -> None:
    env = ChainEnv()
    call, _ = await env.call(raw, violating("tenant"), QUERY, audit_pb2.QueryDecisionsRequest)
    assert (call.code, env.records) == (grpc.StatusCode.INVALID_ARGUMENT, [])


async def test_an_invalid_request_that_cannot_be_recorded_is_unavailable() -> None:
    env = ChainEnv(LedgerUnavailableError("disk"))
    call, _ = await env.call(b"\xff" * 40, answered)
    assert call.code is grpc.StatusCode.UNAVAILABLE
    assert "disk" not in call.text


async def test_an_unexpected_error_is_reported_and_sent_without_its_text() -> None:
    async def fail(_request: object, _context: object) -> None:
        raise RuntimeError("secret")

    env = ChainEnv()
    call, _ = await env.call(request(), fail)
    assert (call.code, call.text) == (grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause")
    assert [str(error) for error in env.errors] == ["secret"]
    assert env.records == []


async def test_a_stream_is_written_and_closed() -> None:
    closed = []

    async def stream(_request: object, _context: object) -> AsyncGenerator[str]:
        try:
            yield "one"
            yield "two"
            raise InvalidRequestError([FieldViolation("cursor", "is wrong")])
        finally:
            closed.append(True)

    env = ChainEnv()
    call, _ = await env.call(b"", stream, WATCH, authorization_pb2.WatchDecisionRequest)
    assert (call.written, call.code, closed) == (["one", "two"], grpc.StatusCode.INVALID_ARGUMENT, [True])
    assert recorded(env) == [("request.refused", "", "WatchDecision", 1)]


async def stream_chain(behavior: Callable[..., Any], raw: bytes, **changes: Any) -> tuple[ChainEnv, StreamedCall]:
    """Answer one message of a stream through the chain."""
    env, call = ChainEnv(**changes), StreamedCall(raw)
    await env.stream(call, behavior)
    return env, call


async def test_an_error_of_a_streamed_request_is_its_answer() -> None:
    async def answer(message: Any, _context: object) -> authorization_pb2.StreamedResponse:
        if message.id == "invalid":
            raise InvalidRequestError([FieldViolation("action.tool", "is wrong")])
        if message.id == "defect":
            raise RuntimeError("secret")
        assert current_caller().peer == "ipv4:192.0.2.1:5000"
        return authorization_pb2.StreamedResponse(id=message.id)

    inner = authorization_pb2.AuthorizeRequest.FromString(request())
    streamed = [authorization_pb2.StreamedRequest(id=each, request=inner) for each in ("a", "invalid", "defect", "b")]
    raw = authorization_pb2.AuthorizeStreamRequest(requests=streamed).SerializeToString()
    env, call = await stream_chain(answer, raw)
    assert {each.id: each.error.message for each in call.answers()} == {
        "a": "",
        "invalid": "action.tool: is wrong",
        "defect": "internal error; the server's log has the cause",
        "b": "",
    }
    assert (call.code, recorded(env)) == (None, [("request.refused", "acme", "AuthorizeStream", 1)])
    assert [str(error) for error in env.errors] == ["secret"]


async def test_an_invalid_streamed_request_that_cannot_be_recorded_is_unavailable() -> None:
    _, call = await stream_chain(answered, b"\xff" * 40, ledger_error=LedgerUnavailableError("disk"))
    [answer] = call.answers()
    assert answer.error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert "disk" not in answer.error.message


async def test_an_unexpected_error_of_a_stream_is_reported_and_sent_without_its_text() -> None:
    call = StreamedCall(b"\xff" * 40)
    call.fails = RuntimeError("secret")
    env = ChainEnv()
    await env.stream(call, answered)
    assert (call.code, call.text) == (grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause")
    assert [str(error) for error in env.errors] == ["secret"]


async def test_methods_of_other_services_are_not_wrapped() -> None:
    env = ChainEnv()
    with pytest.raises(RuntimeError, match="as it is"):
        await env.call(b"", _failing, "/grpc.health.v1.Health/Check", audit_pb2.VerifyAuditRequest)
    assert (env.records, env.errors) == ([], [])


async def _failing(_request: object, _context: object) -> None:
    raise RuntimeError("as it is")
