"""AuthorizeStream: answers, errors in between, the end of a stream, flow control."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2

from placet.kernel.limits import (
    ACTION_BYTES_MAX,
    STREAM_ANSWER_BYTES,
    STREAM_IN_FLIGHT_MAX,
    STREAM_STEP_BYTES,
)
from placet.sdk import ControlClient, KillScope
from placet.v1 import authorization_pb2
from tests.serving import serving, settings
from tests.transport.streaming import StreamCall, streamed
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Server

TOGETHER = 32
READ_RULE = "tools.listed_read"
RELOAD_SECONDS_MAX = 90
"""High, so that load on the machine does not fail the test."""


@pytest.fixture
def stream(placet_server: Server) -> Iterator[StreamCall]:
    with StreamCall(placet_server.address) as call:
        yield call


@contextlib.contextmanager
def engine_stopped(server: Server) -> Iterator[None]:
    """Stop the policy engine, so that nothing is decided, for the duration of the block."""
    policy: Any = server.running.policies.current()
    os.kill(policy.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(policy.process.pid, signal.SIGCONT)


def rules(answers: list[authorization_pb2.StreamedResponse]) -> dict[str, str]:
    """Return the rule ids of decisions and the reasons of errors, by id."""
    return {
        each.id: each.decision.rule_id if each.WhichOneof("answer") == "decision" else reason_of(each)
        for each in answers
    }


def reason_of(answer: authorization_pb2.StreamedResponse) -> str:
    return str(info_of(answer, error_details_pb2.ErrorInfo()).reason)


def fields_of(answer: authorization_pb2.StreamedResponse) -> list[str]:
    return [each.field for each in info_of(answer, error_details_pb2.BadRequest()).field_violations]


def info_of(answer: authorization_pb2.StreamedResponse, detail: Any) -> Any:
    assert any(each.Unpack(detail) for each in answer.error.details), answer
    return detail


def test_requests_of_one_message_are_decided_in_one_batch(stream: StreamCall, placet_server: Server) -> None:
    before = len(placet_server.records("decision.made"))
    stream.send(*(streamed(f"r{number}") for number in range(TOGETHER)))
    answers = stream.wait(TOGETHER)
    assert rules(answers) == {f"r{number}": READ_RULE for number in range(TOGETHER)}
    assert stream.messages == [TOGETHER]
    made = placet_server.records("decision.made")[before:]
    assert {each["body"]["decision_id"] for each in made} == {each.decision.decision_id for each in answers}


def test_many_messages_in_flight(stream: StreamCall) -> None:
    for number in range(100):
        stream.send(streamed(str(number)), streamed(f"again-{number}"))
    assert set(rules(stream.wait(200)).values()) == {READ_RULE}
    assert len({each.id for each in stream.answers}) == 200


def test_an_answer_is_the_one_of_authorize(stream: StreamCall, wire: Wire) -> None:
    asked = request()
    stream.send(streamed("a", asked))
    [answer] = stream.wait(1)
    assert wire.authorize(asked) == answer.decision


def test_errors_are_answered_and_the_stream_goes_on(stream: StreamCall, wire: Wire, placet_server: Server) -> None:
    used, refused_before = request(), len(placet_server.records("request.refused"))
    wire.authorize(used)
    used.action.tool = "jira.search"
    invalid = [request({"action.tool": "not a tool"}), request({"identity.tenant": "No Tenant"})]
    stream.send(
        streamed("good"), streamed("tool", invalid[0]), streamed("tenant", invalid[1]), streamed("key", used),
        authorization_pb2.StreamedRequest(id="empty"), streamed(""), streamed("x" * 129),
    )  # fmt: skip
    answers = {each.id: each for each in stream.wait(7)}
    assert rules(stream.answers) == {
        "good": READ_RULE, "tool": "INVALID_REQUEST", "tenant": "INVALID_REQUEST", "key": "IDEMPOTENCY_KEY_REUSED",
        "empty": "INVALID_REQUEST", "": "INVALID_REQUEST", "x" * 129: "INVALID_REQUEST",
    }  # fmt: skip
    assert answers["key"].error.code == code_pb2.ALREADY_EXISTS
    assert (fields_of(answers["tool"]), fields_of(answers[""])) == (["action.tool"], ["id"])
    for message, id_ in zip(invalid, ("tool", "tenant"), strict=True):
        with pytest.raises(Refusal) as unary:
            wire.authorize(message)
        assert answers[id_].error.message == unary.value.text
        assert fields_of(answers[id_]) == list(unary.value.violations)
    recorded = placet_server.records("request.refused")[refused_before:]
    assert [each["body"]["method"] for each in recorded].count("AuthorizeStream") == 5
    assert {each["tenant"] for each in recorded} == {"acme", ""}
    stream.send(streamed("after"))
    assert rules(stream.wait(8))["after"] == READ_RULE


def test_an_id_in_flight_is_refused_and_free_after_its_answer(stream: StreamCall) -> None:
    stream.send(streamed("a"), streamed("a"), streamed("b"))
    answers = stream.wait(3)
    assert sorted(each.WhichOneof("answer") or "" for each in answers if each.id == "a") == ["decision", "error"]
    [error] = [each for each in answers if each.WhichOneof("answer") == "error"]
    assert (error.id, error.error.code, fields_of(error)) == ("a", code_pb2.INVALID_ARGUMENT, ["id"])
    stream.send(streamed("a"))
    assert stream.wait(4)[3].decision.rule_id == READ_RULE


def test_malformed_bytes_in_one_request(stream: StreamCall, placet_server: Server) -> None:
    before = len(placet_server.records("request.refused"))
    good = authorization_pb2.AuthorizeStreamRequest(requests=[streamed("good")]).SerializeToString()
    malformed = b"\x0a\x03bad" + b"\x12\x04\xff\xff\xff\xff"  # the id, and a request that is no message
    stream.send_raw(good + b"\x0a" + bytes([len(malformed)]) + malformed)
    assert rules(stream.wait(2)) == {"good": READ_RULE, "bad": "INVALID_REQUEST"}
    [record] = placet_server.records("request.refused")[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", "")


@pytest.mark.parametrize("raw", [b"\xff" * 40, b"", b"\x0a\x00" * (STREAM_IN_FLIGHT_MAX + 1), b"\x0a\x00" * 5_000])
def test_a_message_without_readable_requests_has_one_answer(stream: StreamCall, raw: bytes) -> None:
    stream.send_raw(raw)
    stream.send(streamed("good"))
    assert rules(stream.wait(2)) == {"": "INVALID_REQUEST", "good": READ_RULE}


def test_a_request_that_is_too_large(stream: StreamCall) -> None:
    large = request()
    large.action.params_json = "x" * ACTION_BYTES_MAX
    stream.send(streamed("large", large), streamed("small"))
    answers = {each.id: each for each in stream.wait(2)}
    assert f"at most {ACTION_BYTES_MAX} are accepted" in answers["large"].error.message
    assert answers["small"].decision.rule_id == READ_RULE


def test_a_large_message_of_many_requests(stream: StreamCall) -> None:
    asked = [streamed(str(number), request({"action.params_json": f'{{"q":"{"x" * 8_000}"}}'})) for number in range(40)]
    assert sum(each.ByteSize() for each in asked) > STREAM_STEP_BYTES
    stream.send(*asked)
    assert rules(stream.wait(40)) == {str(number): READ_RULE for number in range(40)}


def test_answers_of_more_bytes_than_one_message_holds(stream: StreamCall) -> None:
    stream.send(*(streamed(str(number)) for number in range(STREAM_IN_FLIGHT_MAX)))
    answers = stream.wait(STREAM_IN_FLIGHT_MAX)
    assert len({each.id for each in answers}) == STREAM_IN_FLIGHT_MAX
    assert sum(each.ByteSize() for each in answers) > STREAM_ANSWER_BYTES
    assert len(stream.messages) > 1


def test_a_traceparent(placet_server: Server) -> None:
    trace_ids = [f"{number:032x}" for number in (1, 2)]
    with StreamCall(placet_server.address, (("traceparent", f"00-{trace_ids[0]}-{1:016x}-01"),)) as call:
        call.send(streamed("a"), streamed("b", traceparent=f"00-{trace_ids[1]}-{1:016x}-01"))
        ids = {each.id: each.decision.decision_id for each in call.wait(2)}
    made = {each["body"]["decision_id"]: each["parts"]["input"] for each in placet_server.records("decision.made")}
    assert [made[ids[name]]["run"]["trace_id"] for name in ("a", "b")] == trace_ids


def test_half_close_drains(stream: StreamCall) -> None:
    stream.send(*(streamed(str(number)) for number in range(TOGETHER)))
    stream.send(streamed("last"))
    stream.half_close()
    assert stream.wait_for_end() is None
    assert len(rules(stream.answers)) == TOGETHER + 1


def test_a_stream_without_messages_ends_with_ok(stream: StreamCall) -> None:
    stream.half_close()
    assert (stream.wait_for_end(), stream.answers) == (None, [])


def test_flow_control_holds_the_caller_back(tmp_path: Path) -> None:
    total, padding = STREAM_IN_FLIGHT_MAX + 200, f'{{"q":"{"x" * 8_000}"}}'
    buffered = 2 * 65_536 // 8_000  # gRPC's flow-control window, and what it reads ahead
    with serving(settings(tmp_path)) as server, StreamCall(server.address) as stream:
        with engine_stopped(server):
            for number in range(total):
                stream.send(streamed(str(number), request({"action.params_json": padding})))
            taken = stream.wait_until_held_back()
            assert STREAM_IN_FLIGHT_MAX <= taken <= STREAM_IN_FLIGHT_MAX + buffered
            assert stream.answers == []
        assert rules(stream.wait(total)) == {str(number): READ_RULE for number in range(total)}


def test_a_timeout_sheds_the_request_in_the_queue(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server, StreamCall(server.address) as stream:
        with engine_stopped(server):
            stream.send(streamed("decided", timeout_ms=60_000))
            time.sleep(0.2)  # it is with the engine
            stream.send(streamed("late", timeout_ms=50), streamed("patient", timeout_ms=60_000), streamed("unlimited"))
            time.sleep(0.2)
        assert rules(stream.wait(4)) == {
            "decided": READ_RULE, "late": "DEADLINE_PASSED", "patient": READ_RULE, "unlimited": READ_RULE,
        }  # fmt: skip
        assert len(server.records("decision.made")) == 3


def test_a_full_queue_refuses_requests_and_the_stream_goes_on(tmp_path: Path) -> None:
    with serving(settings(tmp_path, queue_depth_max=1)) as server, StreamCall(server.address) as stream:
        with engine_stopped(server):
            stream.send(*(streamed(str(number)) for number in range(8)))
            stream.wait(6)
            assert set(rules(stream.answers).values()) == {"OVERLOADED"}
            assert info_of(stream.answers[0], error_details_pb2.RetryInfo()).retry_delay.ToMilliseconds() == 250
        assert set(rules(stream.wait(8)).values()) == {"OVERLOADED", READ_RULE}
        stream.send(streamed("after"))
        assert rules(stream.wait(9))["after"] == READ_RULE


def test_a_cancelled_stream_leaves_its_decisions(tmp_path: Path) -> None:
    asked = [request() for _ in range(3)]
    with serving(settings(tmp_path)) as server:
        with StreamCall(server.address) as stream, engine_stopped(server):
            stream.send(*(streamed(str(number), each) for number, each in enumerate(asked)))
            time.sleep(0.3)
            stream.cancel()
            refusal = stream.wait_for_end()
        assert refusal is not None
        assert refusal.code is grpc.StatusCode.CANCELLED
        wire = Wire(server.address)
        repeated = {wire.authorize(each).decision_id for each in asked}
        wire.close()
        assert {each["body"]["decision_id"] for each in server.records("decision.made")} == repeated


def test_a_kill_switch_holds_from_the_next_request_on(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server, StreamCall(server.address) as stream:
        stream.send(streamed("before"))
        stream.wait(1)
        with ControlClient(server.address, timeout=30) as control:
            control.set_kill_switch(KillScope.TOOL, "kb.search", actor="ann", reason="r", tenant="acme")
        stream.send(*(streamed(str(number)) for number in range(TOGETHER)))
        got = rules(stream.wait(TOGETHER + 1))
        assert got.pop("before") == READ_RULE
        assert set(got.values()) == {"kill_switch.tool"}


def test_a_reload_of_policy_during_a_stream(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server, StreamCall(server.address) as stream:
        tenant_file = tmp_path / "rego/config/acme.yaml"
        tenant_file.write_text(
            tenant_file.read_text().replace("    - kb.search\n", "    - kb.search\n    - kb.browse\n", 1)
        )
        number, revisions = 0, set[str]()
        until = time.monotonic() + RELOAD_SECONDS_MAX
        while len(revisions) < 2 and time.monotonic() < until:
            time.sleep(0.1)  # leaves time to the checks of the new policy
            stream.send(*(streamed(f"{number}-{each}") for each in range(8)))
            number += 1
            answers = stream.wait(8 * number)
            assert set(rules(answers).values()) == {READ_RULE}
            revisions = {each.decision.policy_revision for each in answers}
        assert len(revisions) == 2


def test_a_stop_answers_what_was_read_and_ends_the_stream(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with serving(settings(tmp_path)) as server:
            stream = stack.enter_context(StreamCall(server.address))
            idle = stack.enter_context(StreamCall(server.address))
            idle.send(streamed("first"))
            idle.wait(1)
            with engine_stopped(server):
                stream.send(*(streamed(str(number)) for number in range(TOGETHER)))
                time.sleep(0.3)
            # The block ends here, which stops the server.
        ends = [stream.wait_for_end(), idle.wait_for_end()]
        assert rules(stream.answers) == {str(number): READ_RULE for number in range(TOGETHER)}
        for end in ends:
            assert end is not None
            assert (end.code, end.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
            assert end.retry_after_seconds


def test_unary_calls_beside_a_stream(stream: StreamCall, wire: Wire) -> None:
    stream.send(*(streamed(str(number)) for number in range(TOGETHER)))
    assert wire.authorize(request()).rule_id == READ_RULE
    assert len(stream.wait(TOGETHER)) == TOGETHER
