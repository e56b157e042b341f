"""`authorize`: what is sent, and the decision for each response. A malformed response is never an allow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placet.sdk import (
    Action,
    Amount,
    CallFailedError,
    Client,
    Effect,
    Evidence,
    Identity,
    Model,
    Obligation,
    Run,
)
from placet.v1 import authorization_pb2, decision_pb2
from tests.sdk.both import ACTION, IDENTITY, Both
from tests.sdk.scripted_server import (
    AUTHORIZE,
    ScriptedServer,
    allow,
    approval_needed,
    denial,
)


def test_an_allow(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    result = both.authorize(idempotency_key="k1")
    assert result.allowed
    assert result.require_allowed() is result
    assert (result.effect, result.rule_id, result.decision_id) == (
        Effect.ALLOW,
        "allowlist.read_tool",
        "dec_" + "0" * 32,
    )
    assert result.idempotency_key == "k1"
    assert result.failure is None
    assert result.decided_at is not None
    assert result.decided_at.isoformat() == "2026-04-24T18:33:01.123456+00:00"


def test_every_field_is_sent(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    both.authorize(
        Action(
            "stripe.refund", {"charge": "ch_1", "n": 9007199254740991, "e": "é"}, Amount("USD", 4500, 2),
            "s", "production", "api.example", dry_run=True, tool_schema_version="7",
        ),
        Identity("agent", "acme", "u_1", ["b", "a"], ("origin",)),
        run=Run("r", "t", 3, "w", "p"),
        model=Model("m", "v", 1, 2, 3),
        evidence=[Evidence("https://e", "0" * 64)],
        idempotency_key="key",
        approval_id="apr",
        include_permit=True,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )  # fmt: skip
    sent = server.authorized()[0]
    assert sent.action.params_json == '{"charge":"ch_1","n":9007199254740991,"e":"é"}'
    sent.action.params_json = ""
    assert sent == authorization_pb2.AuthorizeRequest(
        idempotency_key="key",
        action={
            "tool": "stripe.refund", "params_json": "",
            "amount": {"currency_code": "USD", "minor_units": 4500, "exponent": 2},
            "scope": "s", "environment": "production", "destination": "api.example", "dry_run": True,
            "tool_schema_version": "7",
        },
        identity={"agent": "agent", "tenant": "acme", "user": "u_1", "roles": ["b", "a"], "delegation": ["origin"]},
        run={"run_id": "r", "trace_id": "t", "step": 3, "workflow": "w", "planner": "p"},
        model={
            "name": "m", "prompt_version": "v", "input_tokens": 1, "output_tokens": 2, "estimated_cost_micros": 3,
        },
        evidence=[{"uri": "https://e", "sha256": "0" * 64}],
        approval_id="apr",
        include_permit=True,
    )  # fmt: skip
    assert server.calls[0][2]["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_fields_that_are_not_set_are_not_sent(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    both.authorize(Action("t"))
    sent = server.authorized()[0]
    assert not sent.HasField("run")
    assert not sent.HasField("model")
    assert not sent.action.HasField("amount")
    assert not sent.include_permit
    assert sent.action.params_json == "{}"
    assert "traceparent" not in server.calls[0][2]


def test_json_text_is_sent_as_it_is(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    text = '{ "a" : 1.0, "a": NaN }'  # the server judges it
    both.authorize(Action("t", text))
    assert server.authorized()[0].action.params_json == text


def test_each_request_gets_a_new_key(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    first, second = both.authorize(), both.authorize()
    keys = [each.idempotency_key for each in server.authorized()]
    assert keys == [first.idempotency_key, second.idempotency_key]
    assert len(set(keys)) == 2


def test_require_approval(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, approval_needed())
    result = both.authorize()
    assert not result.allowed
    assert result.needs_approval
    assert result.approval is not None
    assert (result.approval.quorum, result.approval.approver_roles) == (2, ("support_lead",))
    assert result.findings[0].details == {"quorum": 2, "approver_roles": ["support_lead"], "ratio": 0.5}
    assert type(result.findings[0].details["quorum"]) is int


def test_obligations(both: Both, server: ScriptedServer) -> None:
    answer = allow()
    answer.decision.obligations.add(id="log_read")
    answer.decision.obligations.add(id="redact_output").details.update({"fields": ["email"], "chars": 4})
    server.script(AUTHORIZE, answer)
    result = both.authorize()
    assert result.allowed
    assert result.obligations == (
        Obligation("log_read"),
        Obligation("redact_output", {"fields": ["email"], "chars": 4}),
    )
    assert type(result.obligations[1].details["chars"]) is int


def test_a_deny_is_not_a_failure(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, denial())
    result = both.authorize(on_failure="raise")
    assert (result.effect, result.rule_id, result.failure) == (Effect.DENY, "refunds.role_missing", None)


CONTRACT_VIOLATIONS: dict[str, tuple[Any, str]] = {
    "no decision": (authorization_pb2.AuthorizeResponse(), "pdp.client_answer_invalid"),
    "empty bytes": (b"", "pdp.client_answer_invalid"),
    "no message": (b"\xff\xff\xff", "pdp.client_answer_invalid"),
    "truncated": (allow().SerializeToString()[:-3], "pdp.client_answer_invalid"),
    "unspecified effect": (allow(effect=decision_pb2.EFFECT_UNSPECIFIED), "pdp.client_effect_unknown"),
    "unknown effect": (allow(effect=17), "pdp.client_effect_unknown"),
    "negative effect": (allow(effect=-1), "pdp.client_effect_unknown"),
    "no rule_id": (allow(rule_id=""), "pdp.client_answer_invalid"),
    "no decision_id": (allow(decision_id=""), "pdp.client_answer_invalid"),
    "no policy": (allow(policy_revision=""), "pdp.client_answer_invalid"),
    "a rule denied": (
        allow(findings=[decision_pb2.Finding(effect=decision_pb2.EFFECT_DENY, rule_id="x")]),
        "pdp.client_answer_invalid",
    ),
    "a rule of unknown effect": (
        allow(findings=[{"effect": 9, "rule_id": "x"}]),
        "pdp.client_answer_invalid",
    ),
    "approval without a quorum": (approval_needed(0), "pdp.client_answer_invalid"),
    "deny without rule": (denial(""), "pdp.client_answer_invalid"),
}


@pytest.mark.parametrize("name", CONTRACT_VIOLATIONS)
def test_an_answer_that_breaks_the_contract_is_a_deny(both: Both, server: ScriptedServer, name: str) -> None:
    answer, rule_id = CONTRACT_VIOLATIONS[name]
    server.script(AUTHORIZE, answer)
    result = both.authorize(idempotency_key="k")
    assert (result.effect, result.rule_id, result.idempotency_key) == (Effect.DENY, rule_id, "k")
    assert result.failure is not None
    with pytest.raises(CallFailedError) as caught:
        both.authorize(on_failure="raise")
    assert caught.value.failure == result.failure


def test_details_that_are_not_json_are_a_deny(both: Both, server: ScriptedServer) -> None:
    answer = allow()
    answer.decision.findings[0].details["ratio"] = float("nan")
    server.script(AUTHORIZE, answer)
    assert both.authorize().rule_id == "pdp.client_answer_invalid"


def test_a_decision_with_an_unknown_effect_has_its_id(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow(effect=4))
    assert both.authorize().decision_id == "dec_" + "0" * 32


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raw=st.binary(max_size=200), cut=st.integers(0, 200), flip=st.integers(0, 2**16))
def test_only_a_complete_allow_is_an_allow(
    client: Client, server: ScriptedServer, raw: bytes, cut: int, flip: int
) -> None:
    whole = bytearray(allow().SerializeToString())
    whole[flip % len(whole)] ^= 1 + flip % 255
    for answer in (raw, bytes(whole), bytes(whole[:cut])):
        server.script(AUTHORIZE, answer)
        result = client.authorize(ACTION, IDENTITY)
        if result.allowed:  # then it is an allow by every one of its fields
            sent = authorization_pb2.AuthorizeResponse.FromString(answer).decision
            assert sent.effect == decision_pb2.EFFECT_ALLOW
            assert sent.decision_id
            assert sent.rule_id
            assert sent.policy_revision
            assert {each.effect for each in sent.findings} <= {
                decision_pb2.EFFECT_ALLOW,
                decision_pb2.EFFECT_REQUIRE_APPROVAL,
            }
