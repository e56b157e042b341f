"""Every RPC, for every role, in its own tenant, in another one and in none: the call ends as the table says."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from placet.identity.access import ACCESS, TenantUse
from placet.identity.model import EVERY_TENANT, MAY_HOLD_EVERY_TENANT, Grant, Principal, Role, UserAssertion
from placet.kernel.model import Caller
from placet.v1.authorization_pb2 import AuthorizeStreamResponse
from tests.serving import settings
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from placet.identity.access import Access
    from tests.serving import Server

OWN, OTHER, NONE = "acme", "globex", ""
FIELDS: dict[str, Any] = {
    "approval_id": "apr_none",
    "decision_id": "dec_none",
    "kill_switch_id": "ks_none",
    "policy_revision": "none",
    "budget_id": "none",
    "scope_key": "user:u_1",
    "amount": 1,
    "reason": "a test",
    "person": "nobody",
    "level": "AUTONOMY_OBSERVE_ONLY",
    "workflow": "matrix",
    "verdict": "EXCESS_VERDICT_DROP",
    "status": "OUTCOME_STATUS_SUCCEEDED",
    "scope": {"workflow": "matrix"},
    "token_id": "tok_none",
    "use": "KEY_USE_PERMIT",
}
"""Field -> a value with which the request is valid."""
INVALID, DENIED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
REACHED = {
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}
"""Statuses of servicers about ids that do not exist."""


def holder(role: Role, tenant: str) -> str:
    return f"{role}@{tenant}"


def principal(role: Role, tenant: str) -> Principal:
    name = holder(role, tenant)
    is_runtime = role is Role.AGENT_RUNTIME
    user = UserAssertion.TRUSTED if is_runtime else UserAssertion.NEVER
    grant = Grant(role, frozenset({tenant}), ("*",) if is_runtime else (), user)
    return Principal(Caller(name, method="token"), (grant,), f"person-{name}" if role is Role.APPROVER else "")


PRINCIPALS = {
    holder(role, tenant): principal(role, tenant)
    for role in Role
    for tenant in (OWN, EVERY_TENANT)
    if tenant == OWN or role in MAY_HOLD_EVERY_TENANT
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_to(NamedPrincipals(PRINCIPALS), settings(tmp_path_factory.mktemp("matrix"), reflection=True)) as made:
        yield made


def request(method: MethodDescriptor, tenant: str) -> Message:
    """Return a valid request of the method, except that it names no tenant where that is empty."""
    proposal = {
        "idempotency_key": uuid.uuid4().hex,
        "action": {"tool": "kb.search", "params_json": "{}"},
        "identity": {"agent": "a", "tenant": tenant},
    }
    whole: dict[str, dict[str, Any]] = {
        "Authorize": proposal,
        "AuthorizeBatch": {"requests": [proposal]},
        "AuthorizeStream": {"requests": [{"id": "1", "request": proposal}]},
        "SetKillSwitch": {"scope": {"workflow": "matrix", "tenant": tenant}, "reason": "a test"},
        "CreateToken": {
            "name": "matrix",
            "grants": [{"role": "CALLER_ROLE_OPERATOR", "tenants": [tenant] if tenant else []}],
        },
    }
    names = [field.name for field in method.input_type.fields]
    fields = {name: FIELDS[name] for name in names if name in FIELDS}
    if "tenant" in names:
        fields["tenant"] = tenant
    return ParseDict(whole.get(method.name, fields), message_class(method)())


def expected(access: Access, role: Role, held: str, tenant: str) -> str:
    """Return how the call ends: as the servicer ends it, or the reason of the refusal."""
    if role not in access.roles:
        return "ROLE_NOT_GRANTED"
    match access.tenant:
        case TenantUse.NONE:
            return "reached"
        case TenantUse.EVERY:
            return "reached" if held == EVERY_TENANT else "TENANT_NOT_GRANTED"
        case TenantUse.REQUIRED if tenant == NONE:
            return "no tenant"
    return "reached" if held in {tenant, EVERY_TENANT} else "TENANT_NOT_GRANTED"


def outcome(method: MethodDescriptor, answer: Refusal | list[bytes]) -> str:
    if isinstance(answer, Refusal):
        if answer.code is INVALID and any(field.endswith(("tenant", "tenants")) for field in answer.violations):
            return "no tenant"
        return "reached" if answer.code in REACHED else answer.reason
    if method.client_streaming:
        [response] = AuthorizeStreamResponse.FromString(answer[0]).responses
        message = str(response.error)
        if response.HasField("error"):
            reasons = ("ROLE_NOT_GRANTED", "TENANT_NOT_GRANTED", "CREDENTIAL_MISSING", "CREDENTIAL_INVALID")
            return next((reason for reason in reasons if reason in message), "no tenant" if "tenant" in message else "")
    return "reached"


@pytest.mark.parametrize("name", sorted(every_rpc()))
def test_each_call_ends_as_the_table_says(callers: Callers, name: str) -> None:
    access, method = ACCESS[name], every_rpc()[name]
    cases = [(role, held, tenant) for role in Role for held in (OWN, EVERY_TENANT) for tenant in (OWN, OTHER, NONE)]
    cases = [case for case in cases if holder(*case[:2]) in PRINCIPALS]
    found = {
        (role, held, tenant): outcome(method, callers.call(holder(role, held), method, [request(method, tenant)]))
        for role, held, tenant in cases
    }
    assert found == {case: expected(access, *case) for case in cases}


@pytest.mark.parametrize("name", sorted(every_rpc()))
@pytest.mark.parametrize(("caller", "reason"), [("", "CREDENTIAL_MISSING"), ("stranger", "CREDENTIAL_INVALID")])
def test_nobody_calls_without_a_credential(callers: Callers, name: str, caller: str, reason: str) -> None:
    method = every_rpc()[name]
    assert outcome(method, callers.call(caller, method, [request(method, OWN)])) == reason


def test_health_and_reflection_need_no_credential(callers: Callers) -> None:
    health = health_pb2_grpc.HealthStub(callers.channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(callers.channel)
    [listed] = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    assert {service.name for service in listed.list_services_response.service} > {"placet.v1.AuthorizationService"}
