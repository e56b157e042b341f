"""Every call but those that read the trail: a request that breaks the contract is recorded, whichever call it is."""

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
]
ASK_NOTHING = {"GetPolicyStatus", "GetPermitKeys"}
OF_NO_TENANT = {*ASK_NOTHING, "ConfirmPolicy"}
"""Calls whose requests are empty: but for bytes that are no message, nothing can be wrong with them."""
NOT_OURS = "UPPER"
KIND = "request.refused"


def refused(server: Server, method: MethodDescriptor, raw: bytes) -> Refusal:
    """How the call is refused."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    with contextlib.closing(grpc.insecure_channel(server.address)) as channel:
        stream = channel.unary_stream(path, None, None)(raw, timeout=SECONDS_MAX)
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
    return refusal_of(caught.value)


def with_tenant(method: MethodDescriptor, tenant: str) -> bytes:
    """A request of the call in which hardly more than a tenant is given."""
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
def test_bytes_that_are_no_message(placet_server: Server, method: MethodDescriptor) -> None:
    before = len(placet_server.records(KIND))
    assert refused(placet_server, method, b"\xff" * 40).reason == "INVALID_REQUEST"
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", "")
    assert [each["field"] for each in record["parts"]["refusal"]["violations"]] == [""]


@pytest.mark.parametrize(
    "method", [each for each in METHODS if each.name not in OF_NO_TENANT], ids=lambda method: method.name
)
def test_fields_that_are_wrong(placet_server: Server, method: MethodDescriptor) -> None:
    before = len(placet_server.records(KIND))
    refusal = refused(placet_server, method, with_tenant(method, NOT_OURS))
    assert refusal.reason == "INVALID_REQUEST"
    assert any(field.endswith("tenant") for field in refusal.violations)
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", method.name)
    assert [each["field"] for each in record["parts"]["refusal"]["violations"]] == list(refusal.violations)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GetApproval", approval_pb2.GetApprovalRequest(tenant="acme")),
        ("ListApprovals", approval_pb2.ListApprovalsRequest(tenant="acme", page_token=NOT_OURS)),
        ("WatchApprovals", approval_pb2.WatchApprovalsRequest(tenant="acme", cursor="!")),
        ("WatchDecision", authorization_pb2.WatchDecisionRequest(tenant="acme", decision_id="d", cursor="!")),
        ("SetKillSwitch", control_pb2.SetKillSwitchRequest(scope=control_pb2.KillScope(run_id="r", tenant="acme"))),
    ],
)
def test_under_the_tenant_that_is_named(placet_server: Server, method: str, message: Any) -> None:
    before = len(placet_server.records(KIND))
    [described] = [each for each in METHODS if each.name == method]
    refused(placet_server, described, message.SerializeToString())
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("acme", method)


def test_of_a_call_that_is_about_no_tenant(placet_server: Server) -> None:
    before = len(placet_server.records(KIND))
    [described] = [each for each in METHODS if each.name == "ConfirmPolicy"]
    refusal = refused(placet_server, described, control_pb2.ConfirmPolicyRequest(reason="x").SerializeToString())
    assert sorted(refusal.violations) == ["actor.id", "policy_revision"]
    [record] = placet_server.records(KIND)[before:]
    assert (record["tenant"], record["body"]["method"]) == ("", "ConfirmPolicy")


def test_of_a_question_about_the_trail_nothing_is_recorded(placet_server: Server) -> None:
    before = len(placet_server.records(KIND))
    for method in audit_pb2.DESCRIPTOR.services_by_name["AuditService"].methods_by_name.values():
        refused(placet_server, method, b"\xff" * 40)
    assert len(placet_server.records(KIND)) == before
