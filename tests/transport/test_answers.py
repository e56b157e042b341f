"""Responses of the services: idempotency, trace ids, audit queries, policy status, health, reflection."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from placet.policy.toolchain.binary import opa_version
from placet.v1 import audit_pb2, control_pb2, decision_pb2
from tests.serving import serving, settings
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.timestamp_pb2 import Timestamp

    from tests.serving import Server

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVICES = ("AuthorizationService", "AuditService", "ControlService")


def decided_under(server: Server, key: str) -> list[str]:
    return [
        each["body"]["decision_id"]
        for each in server.records("decision.made")
        if each["body"]["idempotency_key"] == key
    ]


def test_the_same_key_and_content_give_the_same_decision_once(wire: Wire, placet_server: Server) -> None:
    message = request({"action.params_json": '{"a":1,"b":[1,2]}', "identity.roles": ["x", "y"]})
    first = wire.authorize(message)
    again = request(
        {
            "idempotency_key": message.idempotency_key,
            "action.params_json": ' { "b" : [1, 2], "a" : 1 } ',
            "identity.roles": ["y", "x", "y"],
        }
    )
    assert wire.authorize(again) == first
    assert wire.authorize_batch([again]) == [first]
    assert decided_under(placet_server, message.idempotency_key) == [first.decision_id]


def test_concurrent_requests_with_one_key_get_one_decision(wire: Wire, placet_server: Server) -> None:
    message = request()
    with ThreadPoolExecutor(16) as threads:
        decisions = list(threads.map(wire.authorize, [message] * 32))
    assert len({each.decision_id for each in decisions}) == 1
    assert decided_under(placet_server, message.idempotency_key) == [decisions[0].decision_id]


@pytest.mark.parametrize(
    "change",
    [
        {"action.params_json": '{"q":"other"}'},
        {"action.tool": "jira.search"},
        {"action.dry_run": True},
        {"identity.roles": ["support_refunds"]},
        {"evidence": [{"uri": "kb://1"}]},
    ],
)
def test_the_same_key_with_other_content_is_an_error(wire: Wire, placet_server: Server, change: dict[str, Any]) -> None:
    message = request()
    first = wire.authorize(message)
    with pytest.raises(Refusal) as caught:
        wire.authorize(request({**change, "idempotency_key": message.idempotency_key}))
    assert caught.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert (caught.value.reason, caught.value.domain) == ("IDEMPOTENCY_KEY_REUSED", "placet")
    assert decided_under(placet_server, message.idempotency_key) == [first.decision_id]


def test_keys_belong_to_one_tenant(wire: Wire, placet_server: Server) -> None:
    message = request()
    other = request({"idempotency_key": message.idempotency_key, "identity.tenant": "globex"})
    decisions = [wire.authorize(each) for each in (message, other)]
    assert decided_under(placet_server, message.idempotency_key) == [each.decision_id for each in decisions]


@pytest.mark.parametrize(
    ("changes", "traceparent", "trace_id"),
    [
        ({}, f"00-{TRACE_ID}-00f067aa0ba902b7-01", TRACE_ID),
        ({"run.trace_id": "9f2d"}, f"00-{TRACE_ID}-00f067aa0ba902b7-01", "9f2d"),
        ({}, "garbage", ""),
        ({}, "00-" + "0" * 32 + "-00f067aa0ba902b7-01", ""),
    ],
)
def test_traceparent_fills_the_trace_id(wire: Wire, changes: dict[str, Any], traceparent: str, trace_id: str) -> None:
    decision = wire.authorize(request(changes), ("traceparent", traceparent))
    recorded = wire.get("acme", decision.decision_id)
    assert json.loads(recorded.event_json)["trace_id"] == trace_id
    assert json.loads(recorded.input_json)["run"]["trace_id"] == trace_id


def test_the_response_equals_the_recorded_decision(wire: Wire) -> None:
    message = request(
        {
            "action": {"tool": "stripe.refund", "params_json": '{"charge":"ch_1","amount":1000.01,"currency":"USD"}'},
            "action.amount": {"currency_code": "USD", "minor_units": 100_001},
            "identity.roles": ["support_refunds"],
        }
    )
    decision = wire.authorize(message)
    assert decision.effect == decision_pb2.EFFECT_REQUIRE_APPROVAL
    assert (decision.approval.quorum, list(decision.approval.approver_roles)) == (2, ["support_lead"])
    assert decision.approval.id == decision.decision_id.replace("dec_", "apr_")
    assert decision.approval.expires_at.ToMicroseconds() > decision.decided_at.ToMicroseconds()
    recorded = wire.get("acme", decision.decision_id)
    assert recorded.decision == decision
    assert recorded.idempotency_key == message.idempotency_key
    assert (recorded.caller, recorded.tenant, recorded.writer) == ("unauthenticated", "acme", "placet")
    assert recorded.received_at.ToMicroseconds() <= decision.decided_at.ToMicroseconds()
    assert recorded.replayable
    assert len(recorded.record_hash) == len(decision.action_digest) == 64


def test_a_finding_that_is_too_large_keeps_its_rule_and_names_what_is_omitted(wire: Wire) -> None:
    params = json.dumps({"project": "x" * 9_000, "priority": "low"})
    common = {"identity.tenant": "globex"}
    plan = [
        request({**common, "action.tool": "zendesk.get_ticket"}),
        request({**common, "action": {"tool": "jira.create_ticket", "params_json": params, "environment": "sandbox"}}),
        request({**common, "action.tool": "zendesk.get_ticket"}),
    ]
    decisions = wire.authorize_batch(plan)
    rule_ids = [each.rule_id for each in decisions]
    assert rule_ids == ["tools.listed_read", "tickets.project_not_allowed", "tools.listed_read"]
    assert MessageToDict(decisions[1].findings[0].details) == {"truncated": ["project"]}


class Day:
    """Decisions of one run, oldest first."""

    def __init__(self, wire: Wire) -> None:
        self.run_id = uuid.uuid4().hex
        self.user, self.agent = f"u_{self.run_id}", f"agent_{self.run_id}"
        common = {"run.run_id": self.run_id, "identity.user": self.user, "identity.agent": self.agent}
        requests: list[dict[str, Any]] = [
            {},
            {"action.tool": "no.such_tool"},
            {"action.tool": "jira.search"},
            {"action": {"tool": "jira.create_ticket", "params_json": '{"title":"t"}'}},
            {},
        ]
        self.decisions = [wire.authorize(request({**common, **changes})) for changes in requests]
        wire.authorize(request({**common, "identity.tenant": "globex"}))

    def ids(self, *indexes: int) -> list[str]:
        """Of these, as they are listed: newest first."""
        return [self.decisions[index].decision_id for index in sorted(indexes, reverse=True)]


def listed(page: audit_pb2.QueryDecisionsResponse) -> list[str]:
    return [each.decision.decision_id for each in page.decisions]


def test_queries_return_matching_decisions_of_one_tenant(wire: Wire) -> None:
    day = Day(wire)
    mine = {"tenant": "acme", "run_id": day.run_id}
    assert listed(wire.query(**mine)) == day.ids(0, 1, 2, 3, 4)
    assert listed(wire.query(tenant="acme", user=day.user)) == day.ids(0, 1, 2, 3, 4)
    assert listed(wire.query(tenant="acme", agent=day.agent)) == day.ids(0, 1, 2, 3, 4)
    assert listed(wire.query(**mine, effect=decision_pb2.EFFECT_DENY)) == day.ids(1)
    assert listed(wire.query(**mine, effect=decision_pb2.EFFECT_ALLOW)) == day.ids(0, 2, 4)
    assert listed(wire.query(**mine, rule_id="tools.listed_read")) == day.ids(0, 2, 4)
    assert listed(wire.query(**mine, tool="kb.search")) == day.ids(0, 4)
    assert listed(wire.query(**mine, tool="kb.search", effect=decision_pb2.EFFECT_DENY)) == []
    assert len(listed(wire.query(tenant="globex", run_id=day.run_id))) == 1
    assert listed(wire.query(tenant="initech", run_id=day.run_id)) == []
    assert all(each.tenant == "acme" for each in wire.query(tenant="acme").decisions)


def test_pages_contain_every_decision_once(wire: Wire) -> None:
    day = Day(wire)
    found: list[str] = []
    token = ""
    sizes: list[int] = []
    while not sizes or token:
        page = wire.query(tenant="acme", run_id=day.run_id, page_size=2, page_token=token)
        found += listed(page)
        sizes.append(len(page.decisions))
        token = page.next_page_token
    assert found == day.ids(0, 1, 2, 3, 4)
    assert sizes == [2, 2, 1]


def test_a_page_token_is_invalid_for_another_tenant(wire: Wire) -> None:
    day = Day(wire)
    token = wire.query(tenant="acme", run_id=day.run_id, page_size=1).next_page_token
    assert token
    page = wire.query(tenant="globex", page_size=500, page_token=token)
    assert {each.tenant for each in page.decisions} <= {"globex"}


def test_queries_by_time(wire: Wire) -> None:
    day = Day(wire)
    mine = {"tenant": "acme", "run_id": day.run_id}
    third: Timestamp = day.decisions[2].decided_at
    assert listed(wire.query(**mine, decided_from=third)) == day.ids(2, 3, 4)
    assert listed(wire.query(**mine, decided_until=third)) == day.ids(0, 1)
    assert listed(wire.query(**mine, decided_from=third, decided_until=third)) == []


def test_an_unknown_decision_is_not_found(wire: Wire) -> None:
    theirs = wire.authorize(request({"identity.tenant": "globex"})).decision_id
    for decision_id in ("dec_0", "' OR 1=1 --", theirs):
        with pytest.raises(Refusal) as caught:
            wire.get("acme", decision_id)
        assert caught.value.code is grpc.StatusCode.NOT_FOUND
        assert (caught.value.reason, caught.value.domain) == ("NOT_FOUND", "placet")
    assert wire.get("globex", theirs).decision.decision_id == theirs


def test_the_policy_status(wire: Wire) -> None:
    status = wire.status()
    assert status.ready
    assert status.policy_revision == wire.authorize(request()).policy_revision
    assert status.engine_mode == control_pb2.ENGINE_MODE_MANAGED
    assert status.engine_version == opa_version()
    assert list(status.tenants) == ["acme", "globex", "initech"]
    assert status.loaded_at.seconds > 0
    assert status.last_error == ""
    assert not status.HasField("last_error_at")


def test_the_trail_verifies(wire: Wire, placet_server: Server) -> None:
    wire.authorize(request())
    report = wire.verify()
    assert report.ok
    assert not report.problems
    assert report.chains == 1
    assert report.records > len(placet_server.records("decision.made"))


def test_health(placet_server: Server) -> None:
    with grpc.insecure_channel(placet_server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", *(f"placet.v1.{name}" for name in SERVICES)):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="placet.v1.Nothing"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def reflected(address: str) -> set[str]:
    """Return the services that reflection lists."""
    with grpc.insecure_channel(address) as channel:
        message = reflection_pb2.ServerReflectionRequest(list_services="")
        [answer] = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([message]))
        return {each.name for each in answer.list_services_response.service}


def test_reflection_lists_the_services(placet_server: Server) -> None:
    assert {f"placet.v1.{name}" for name in SERVICES} <= reflected(placet_server.address)


def test_reflection_can_be_disabled(tmp_path: Path) -> None:
    with serving(settings(tmp_path, reflection=False)) as server:
        with pytest.raises(grpc.RpcError) as caught:
            reflected(server.address)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        wire = Wire(server.address)
        assert wire.status().ready
        wire.close()
