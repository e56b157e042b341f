"""Invalid requests of every call are recorded, except calls of AuditService."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from placet.v1 import approval_pb2, audit_pb2, authorization_pb2, control_pb2
from tests.transport.wire import SECONDS_MAX, Refusal, refusal_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from tests.serving import Server

FILES = (authorization_pb2, approval_pb2, control_pb2)
METHODS = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name.values()
    if not method.client_streaming
]
"""Without AuthorizeStream, which answers invalid requests and goes on: see `test_authorize_stream`."""
ASK_NOTHING = {"GetPolicyStatus", "GetPermitKeys"}
OF_NO_TENANT = {*ASK_NOTHING, "ConfirmPolicy"}
"""Calls without a tenant, so that no tenant can be invalid."""
MALFORMED = "UPPER"
KIND = "request.refused"


def refused(server: Server, method: MethodDescriptor, raw: bytes) -> Refusal:
    """Return the error of the call."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    with contextlib.closing(grpc.insecure_channel(server.address)) as channel:
        stream = channel.unary_stream(path, None, None)(raw, timeout=SECONDS_MAX)
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
    return refusal_of(caught.value)


def with_tenant(method: MethodDescriptor, tenant: str) -> bytes:
    """Return a request that sets only the tenant."""
    message: Any = GetMessageClass(method.input_type)()
    match method.name:
        case "Authorize":
            message.identity.tenant = tenant
        case "AuthorizeBatch":
            message.requests.add().identity.tenant = tenant
        case "SetKillSwitch":
            message.scope.whole_tenant, message.scope.tenant = True, tenant
        case _:
            message.tenant = tenant
    return bytes(message.SerializeToString())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_invalid_bytes(placet_server: Server, method: MethodDescriptor) -> None:
    before = len(placet_server.records(KIND))
    assert refused(placet_server, method, b"\xff" * 40).reason == "INVALID_REQUEST"
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", "")
    assert [each["field"] for each in record["parts"]["refusal"]["violations"]] == [""]


@pytest.mark.parametrize(
    "method", [each for each in METHODS if each.name not in OF_NO_TENANT], ids=lambda method: method.name
)
def test_invalid_fields(placet_server: Server, method: MethodDescriptor) -> None:
    before = len(placet_server.records(KIND))
    refusal = refused(placet_server, method, with_tenant(method, MALFORMED))
    assert refusal.reason == "INVALID_REQUEST"
    assert any(field.endswith("tenant") for field in refusal.violations)
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", method.name)
    assert [each["field"] for each in record["parts"]["refusal"]["violations"]] == list(refusal.violations)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GetApproval", approval_pb2.GetApprovalRequest(tenant="acme")),
        ("ListApprovals", approval_pb2.ListApprovalsRequest(tenant="acme", page_token=MALFORMED)),
        ("WatchApprovals", approval_pb2.WatchApprovalsRequest(tenant="acme", cursor="!")),
        ("WatchDecision", authorization_pb2.WatchDecisionRequest(tenant="acme", decision_id="d", cursor="!")),
        ("SetKillSwitch", control_pb2.SetKillSwitchRequest(scope=control_pb2.KillScope(run_id="r", tenant="acme"))),
    ],
)
def test_the_record_has_the_tenant_of_the_request(placet_server: Server, method: str, message: Any) -> None:
    before = len(placet_server.records(KIND))
    [described] = [each for each in METHODS if each.name == method]
    refused(placet_server, described, message.SerializeToString())
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("acme", method)


def test_a_call_without_a_tenant(placet_server: Server) -> None:
    before = len(placet_server.records(KIND))
    [described] = [each for each in METHODS if each.name == "ConfirmPolicy"]
    refusal = refused(placet_server, described, control_pb2.ConfirmPolicyRequest(reason="x").SerializeToString())
    assert sorted(refusal.violations) == ["actor.id", "policy_revision"]
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", "ConfirmPolicy")


def test_invalid_audit_calls_are_not_recorded(placet_server: Server) -> None:
    before = len(placet_server.records(KIND))
    for method in audit_pb2.DESCRIPTOR.services_by_name["AuditService"].methods_by_name.values():
        refused(placet_server, method, b"\xff" * 40)
    assert len(placet_server.records(KIND)) == before
