"""`authorize_batch`: one decision for each request, in order."""

from __future__ import annotations

import grpc
import pytest

from placet.sdk import (
    Action,
    CallFailedError,
    Effect,
    Request,
)
from placet.v1 import authorization_pb2
from tests.sdk.both import ACTION, IDENTITY, Both
from tests.sdk.scripted_server import (
    AUTHORIZE_BATCH,
    ScriptedServer,
    approval_needed,
    decision,
    denial,
    plain_status,
)


def test_decisions_are_in_the_order_of_the_requests(both: Both, server: ScriptedServer) -> None:
    answers = [decision(), denial().decision, approval_needed().decision]
    server.script(AUTHORIZE_BATCH, authorization_pb2.AuthorizeBatchResponse(decisions=answers))
    requests = [Request(Action(f"tool.{n}"), IDENTITY, idempotency_key=f"k{n}") for n in range(3)]
    result = both.authorize_batch(requests, traceparent="00-x")
    assert [each.effect for each in result] == [Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL]
    assert [each.idempotency_key for each in result] == ["k0", "k1", "k2"]
    sent = authorization_pb2.AuthorizeBatchRequest.FromString(server.requests(AUTHORIZE_BATCH)[0])
    assert [each.action.tool for each in sent.requests] == ["tool.0", "tool.1", "tool.2"]
    assert server.calls[0][2]["traceparent"] == "00-x"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_decisions_denies_all(both: Both, server: ScriptedServer, count: int) -> None:
    server.script(AUTHORIZE_BATCH, authorization_pb2.AuthorizeBatchResponse(decisions=[decision()] * count))
    result = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.rule_id for each in result] == ["pdp.client_answer_invalid"] * 2
    assert not any(each.allowed for each in result)


def test_a_malformed_response_denies_all(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE_BATCH, b"\xff")
    result = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.rule_id for each in result] == ["pdp.client_answer_invalid"] * 2


def test_an_invalid_decision_denies_only_its_request(both: Both, server: ScriptedServer) -> None:
    answers = [decision(), decision(effect=9)]
    server.script(AUTHORIZE_BATCH, authorization_pb2.AuthorizeBatchResponse(decisions=answers))
    result = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.allowed for each in result] == [True, False]
    with pytest.raises(CallFailedError):
        both.authorize_batch([Request(ACTION, IDENTITY)] * 2, on_failure="raise")


def test_an_invalid_request_denies_all_and_names_its_index(both: Both, server: ScriptedServer) -> None:
    result = both.authorize_batch([Request(ACTION, IDENTITY), Request(Action("\ud800"), IDENTITY)])
    assert [each.rule_id for each in result] == ["pdp.client_invalid_argument"] * 2
    assert "requests[1].action.tool: must be text" in result[0].reason
    assert server.calls == []


def test_a_failed_call_denies_all(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE_BATCH, plain_status(grpc.StatusCode.INTERNAL))
    result = both.authorize_batch([Request(ACTION, IDENTITY)] * 2)
    assert [each.rule_id for each in result] == ["pdp.client_error"] * 2
