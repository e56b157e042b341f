"""ReportOutcome over gRPC: recorded once, invalid fields named, shown in the tool-call event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.kernel.limits import LABEL_BYTES_MAX, SAFE_INTEGER_MAX
from placet.v1 import authorization_pb2, decision_pb2
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from tests.serving import Server

REPORT = "/placet.v1.AuthorizationService/ReportOutcome"
SUCCEEDED = authorization_pb2.OUTCOME_STATUS_SUCCEEDED
FAILED = authorization_pb2.OUTCOME_STATUS_FAILED
INITECH: dict[str, Any] = {"identity.tenant": "initech", "action.params_json": "{}"}


def report(wire: Wire, decision_id: str, **said: Any) -> authorization_pb2.ReportOutcomeResponse:
    message = authorization_pb2.ReportOutcomeRequest(
        **{"tenant": "acme", "decision_id": decision_id, "status": SUCCEEDED, **said}
    )
    return authorization_pb2.ReportOutcomeResponse.FromString(wire.raw(REPORT, message.SerializeToString()))


def allowed(wire: Wire, changes: dict[str, Any] | None = None) -> str:
    decision = wire.authorize(request(changes))
    assert decision.effect == decision_pb2.EFFECT_ALLOW, decision
    return str(decision.decision_id)


def test_every_field_of_the_tool_call_event(wire: Wire) -> None:
    decision_id = allowed(
        wire,
        {
            "action.scope": "jira:write",
            "run": {"run_id": "run_2026_04_24_183301", "trace_id": "9f2d"},
            "model": {"name": "gpt-4.1", "input_tokens": 812, "output_tokens": 164},
        },
    )
    before = json.loads(wire.get("acme", decision_id).event_json)
    assert before["result"] is None
    assert not report(wire, decision_id, latency_ms=942).repeated
    recorded = wire.get("acme", decision_id)
    event = json.loads(recorded.event_json)
    assert event["model"].pop("prompt_version") == ""
    assert event == {
        "trace_id": "9f2d",
        "run_id": "run_2026_04_24_183301",
        "user": {"id": "u_4812", "tenant": "acme"},
        "model": {"name": "gpt-4.1", "input_tokens": 812, "output_tokens": 164},
        "tool": {"name": "kb.search", "scope": "jira:write", "dry_run": False},
        "policy": {"decision": "allow", "rule_id": recorded.decision.rule_id},
        "result": {"status": "ok", "latency_ms": 942},
    }


def test_a_page_of_decisions_shows_each_outcome(wire: Wire) -> None:
    run = {"run": {"run_id": "run_outcomes_page"}}
    first, second, third = allowed(wire, run), allowed(wire, run), allowed(wire, run)
    report(wire, first, latency_ms=1)
    report(wire, second, status=FAILED, latency_ms=2, error_class="TimeoutError")
    page = wire.query(tenant="acme", run_id="run_outcomes_page")
    results = {each.decision.decision_id: json.loads(each.event_json)["result"] for each in page.decisions}
    assert results == {
        first: {"status": "ok", "latency_ms": 1},
        second: {"status": "error", "latency_ms": 2},
        third: None,
    }
    assert wire.verify().ok


def test_a_repeated_report_is_a_duplicate_and_another_is_refused(wire: Wire) -> None:
    decision_id = allowed(wire)
    assert not report(wire, decision_id, tokens=0).repeated
    assert report(wire, decision_id, tokens=0).repeated
    with pytest.raises(Refusal) as caught:
        report(wire, decision_id)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.ALREADY_EXISTS, "OUTCOME_DIFFERS")


def test_a_deny_has_no_outcome(wire: Wire) -> None:
    denied = wire.authorize(request({"action.tool": "no.such_tool"}))
    with pytest.raises(Refusal) as caught:
        report(wire, denied.decision_id)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_WAS_ALLOWED")


def test_more_cost_than_estimated_exceeds_the_budget_of_the_user(wire: Wire) -> None:
    spender = {**INITECH, "identity.user": "u_outcomes_spender", "run": {"run_id": "run_outcomes_spender"}}
    spender["model.estimated_cost_micros"] = 1_500_000
    response = report(wire, allowed(wire, spender), tenant="initech", cost_micros=2_500_000)
    assert list(response.overspent) == ["spend.per_user_per_day"]
    denied = wire.authorize(request(spender))
    assert (denied.effect, denied.rule_id) == (decision_pb2.EFFECT_DENY, "budgets.spend.per_user_per_day")
    assert wire.verify().ok


def test_far_more_than_reserved_is_held_and_does_not_count(wire: Wire) -> None:
    spender = {**INITECH, "identity.user": "u_outcomes_far", "run": {"run_id": "run_outcomes_far"}}
    decision_id = allowed(wire, spender)
    response = report(wire, decision_id, tenant="initech", cost_micros=SAFE_INTEGER_MAX)
    assert (list(response.overspent), "spend.per_user_per_day" in response.held) == ([], True)
    assert list(report(wire, decision_id, tenant="initech", cost_micros=SAFE_INTEGER_MAX).held) == list(response.held)
    assert wire.authorize(request(spender)).effect == decision_pb2.EFFECT_ALLOW
    assert wire.verify().ok


def test_calls_that_fail_open_the_breaker_of_their_tool(wire: Wire) -> None:
    ticket = {**INITECH, "action.tool": "zendesk.get_ticket"}  # a tool that no other test asks for
    for number in range(5):
        run = {"run": {"run_id": f"run_outcomes_{number}"}}
        response = report(wire, allowed(wire, {**ticket, **run}), tenant="initech", status=FAILED)
        assert not response.late
    stopped = wire.authorize(request({**ticket, "run": {"run_id": "run_outcomes_5"}}))
    assert (stopped.effect, stopped.rule_id) == (decision_pb2.EFFECT_DENY, "limits.breaker_open")


@pytest.mark.parametrize("changes", [{"tenant": "globex"}, {"decision_id": "dec_unknown"}])
def test_a_decision_of_another_tenant_is_not_found(wire: Wire, changes: dict[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        report(wire, **{"decision_id": allowed(wire), **changes})
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"tenant": ""}, {"tenant"}),
        ({"tenant": "No Tenant"}, {"tenant"}),
        ({"decision_id": ""}, {"decision_id"}),
        ({"decision_id": "d" * (LABEL_BYTES_MAX + 1)}, {"decision_id"}),
        ({"status": 0}, {"status"}),
        ({"status": 99}, {"status"}),
        ({"latency_ms": -1, "tokens": -1, "cost_micros": -1, "amount_minor_units": -1}, None),
        ({"latency_ms": SAFE_INTEGER_MAX + 1}, {"latency_ms"}),
        ({"error_class": "E" * (LABEL_BYTES_MAX + 1)}, {"error_class"}),
        ({"error_class": "a\nb"}, {"error_class"}),
        ({"result_digest": "ABC"}, {"result_digest"}),
    ],
)
def test_an_invalid_report_names_its_fields_and_is_recorded(
    wire: Wire, placet_server: Server, changes: dict[str, Any], fields: set[str] | None
) -> None:
    decision_id = allowed(wire)
    refused = len(placet_server.records("request.refused"))
    with pytest.raises(Refusal) as caught:
        report(wire, **{"decision_id": decision_id, **changes})
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.violations.keys() == (changes.keys() if fields is None else fields)
    [record] = placet_server.records("request.refused")[refused:]
    assert record["body"]["method"] == "ReportOutcome"
    assert record["tenant"] == ("" if "tenant" in changes else "acme")
    assert not report(wire, decision_id).repeated


def test_invalid_bytes_are_refused_and_recorded(wire: Wire, placet_server: Server) -> None:
    refused = len(placet_server.records("request.refused"))
    with pytest.raises(Refusal) as caught:
        wire.raw(REPORT, b"\xff\xff")
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(placet_server.records("request.refused")) == refused + 1
