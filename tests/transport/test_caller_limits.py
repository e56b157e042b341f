"""A caller beyond its limits is refused before any work, and others do not notice."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.kernel.errors import RateLimitedError
from placet.kernel.model import Caller
from placet.transport.grpc.incoming import IncomingMessage
from placet.transport.grpc.interceptors.caller_limits import CallerLimits
from placet.v1 import audit_pb2, audit_pb2_grpc, authorization_pb2, authorization_pb2_grpc
from tests.serving import serving, settings
from tests.transport.authenticated import NamedPrincipals, as_caller, serving_to
from tests.transport.streaming import StreamCall, streamed
from tests.transport.wire import Refusal, refusal_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Server

PER_SECOND = 2
SECONDS = 30


def principal(name: str) -> Principal:
    acme = frozenset({"acme"})
    grants = (Grant(Role.AGENT_RUNTIME, acme, ("*",), UserAssertion.TRUSTED), Grant(Role.AUDITOR, acme))
    return Principal(Caller(f"token|{name}", method="token"), grants)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limited = settings(
        tmp_path_factory.mktemp("limits"), caller_requests_per_second_max=PER_SECOND, caller_streams_max=2
    )
    names = ("flood", "calm", "streams", "mixed", "auditor", "watcher", "batches", "large")
    with serving_to(NamedPrincipals({name: principal(name) for name in names}), limited) as running:
        yield running


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as opened:
        yield opened


def authorize(channel: grpc.Channel, name: str, **fields: Any) -> Refusal | Any:
    stub = authorization_pb2_grpc.AuthorizationServiceStub(channel)
    try:
        return stub.Authorize(request(fields), metadata=as_caller(name), timeout=SECONDS).decision
    except grpc.RpcError as error:
        return refusal_of(error)


def decisions(channel: grpc.Channel, run_id: str) -> int:
    query = audit_pb2.QueryDecisionsRequest(tenant="acme", run_id=run_id, page_size=500)
    page = audit_pb2_grpc.AuditServiceStub(channel).QueryDecisions(
        query, metadata=as_caller("auditor"), timeout=SECONDS
    )
    return len(page.decisions)


def test_a_flood_is_refused_at_once_and_others_are_decided(channel: grpc.Channel, server: Server) -> None:
    answers = [authorize(channel, "flood", run={"run_id": "flood"}) for _ in range(60)]
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {(each.code, each.reason) for each in refused} == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")}
    assert all(0 < (each.retry_after_seconds or 0) <= 1 / PER_SECOND for each in refused)
    calm = [authorize(channel, "calm", run={"run_id": "calm"}) for _ in range(PER_SECOND)]
    assert not any(isinstance(answer, Refusal) for answer in calm)
    assert decisions(channel, "calm") == PER_SECOND
    assert decisions(channel, "flood") == len(answers) - len(refused)
    assert shed(server, "caller_rate") >= len(refused)


def shed(server: Server, reason: str) -> float:
    return server.running.metrics.registry.get_sample_value("placet_requests_shed_total", {"reason": reason}) or 0.0


def batch(channel: grpc.Channel, name: str, actions: int) -> Any:
    message = authorization_pb2.AuthorizeBatchRequest(
        requests=[request({"run.run_id": name, "idempotency_key": f"{name}-{number}"}) for number in range(actions)]
    )
    stub = authorization_pb2_grpc.AuthorizationServiceStub(channel)
    try:
        return stub.AuthorizeBatch(message, metadata=as_caller(name), timeout=SECONDS).decisions
    except grpc.RpcError as error:
        return refusal_of(error)


def test_each_action_of_a_batch_counts(channel: grpc.Channel) -> None:
    assert len(batch(channel, "batches", PER_SECOND)) == PER_SECOND
    answers = [batch(channel, "batches", PER_SECOND) for _ in range(20)]
    refused = [answer for answer in answers if isinstance(answer, Refusal)]
    assert {(each.code, each.reason) for each in refused} == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")}
    assert all(0 < (each.retry_after_seconds or 0) <= 1 for each in refused)


def test_a_batch_beyond_the_burst_is_refused_with_the_remedy(channel: grpc.Channel) -> None:
    refused = batch(channel, "large", PER_SECOND + 1)
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.retry_after_seconds is None, "waiting does not help"
    assert refused.text.startswith("the batch has 3 actions, and the caller may send 2 in a second; send smaller")
    assert len(batch(channel, "large", PER_SECOND)) == PER_SECOND, "nothing of it was counted"


def test_actions_are_counted_from_the_bytes() -> None:
    actions = authorization_pb2.AuthorizeBatchRequest(requests=[{}] * 7).SerializeToString()
    unknown = b"\x10\x01" * 3
    counted = [
        (b"", 1),
        (actions, 7),
        (actions + unknown, 10),
        (actions[:-1], 1),
        (b"\x0a\x00" * 2_000, 1),
    ]
    assert [IncomingMessage(raw).actions() for raw, _ in counted] == [count for _, count in counted]


def test_callers_of_one_name_are_counted_apart_in_each_tenant() -> None:
    limits = CallerLimits(1, 1, lambda: 0.0, lambda *_: None)
    dana = [Caller("dana", method="token", person="dana", owner=owner) for owner in ("acme/", "globex/", "")]
    for caller in dana:
        limits.count_request(caller)
    with contextlib.ExitStack() as stack:
        for caller in dana:
            stack.enter_context(limits.stream(caller))
    for caller in dana:
        with pytest.raises(RateLimitedError):
            limits.count_request(caller)


def test_requests_of_a_stream_count_and_the_stream_goes_on(server: Server) -> None:
    with StreamCall(server.address, as_caller("mixed")) as stream:
        stream.send(*(streamed(str(number)) for number in range(10 * PER_SECOND)))
        answers = stream.wait(10 * PER_SECOND)
        limited = [answer for answer in answers if answer.WhichOneof("answer") == "error"]
        assert 0 < len(limited) <= len(answers) - PER_SECOND
        assert {answer.error.code for answer in limited} == {grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]}
        assert not stream.ended


def test_streams_are_limited_for_each_caller(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for name in ("streams", "streams", "watcher"):
            stream = stack.enter_context(StreamCall(server.address, as_caller(name)))
            stream.send(streamed("1"))
            assert len(stream.wait(1)) == 1
        beyond = stack.enter_context(StreamCall(server.address, as_caller("streams")))
        refused = beyond.wait_for_end()
        assert refused is not None
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


def test_without_authentication_an_address_is_limited(tmp_path: Path) -> None:
    limited = settings(tmp_path, caller_requests_per_second_max=PER_SECOND)
    with serving(limited) as running:
        answers = []
        for _ in range(3 * PER_SECOND):
            with grpc.insecure_channel(running.address) as fresh:  # another port of the same address
                answers.append(authorize(fresh, ""))
    assert any(isinstance(answer, Refusal) and answer.reason == "RATE_LIMITED" for answer in answers)


def test_streams_that_ended_do_not_count() -> None:
    limits = CallerLimits(0, 1, lambda: 0.0, lambda *_: None)
    runtime, other = Caller("a", method="token"), Caller("b", method="token")
    for _ in range(3):
        with limits.stream(runtime), limits.stream(other), pytest.raises(RateLimitedError), limits.stream(runtime):
            raise AssertionError
