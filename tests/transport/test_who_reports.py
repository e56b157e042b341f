"""Who reports, over gRPC: executors of the tenant, runtimes on their own decisions, holders of permits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.kernel.model import Caller
from placet.v1 import authorization_pb2, authorization_pb2_grpc, decision_pb2
from tests.serving import settings
from tests.transport.authenticated import NamedPrincipals, as_caller, serving_to
from tests.transport.wire import refusal_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_EXECUTED = authorization_pb2.OUTCOME_STATUS_NOT_EXECUTED


def principal(name: str, role: Role, *tenants: str) -> Principal:
    grants = (Grant(role, frozenset(tenants), ("*",), UserAssertion.TRUSTED),)
    return Principal(Caller(f"token|{name}", method="token"), grants)


PRINCIPALS = {
    "runtime": principal("runtime", Role.AGENT_RUNTIME, "acme", "strict"),
    "other": principal("other", Role.AGENT_RUNTIME, "acme", "strict"),
    "executor": principal("executor", Role.TOOL_EXECUTOR, "acme", "strict"),
    "foreign": principal("foreign", Role.TOOL_EXECUTOR, "globex"),
}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[authorization_pb2_grpc.AuthorizationServiceStub]:
    chosen = settings(tmp_path_factory.mktemp("reporters"))
    for tenant, more in (("acme", ""), ("strict", "  outcomes: executor\n"), ("globex", "")):
        (chosen.rego_dir / f"config/{tenant}.yaml").write_text(
            f"agent_policy:\n{more}  allowed_tools: [kb.search]\n  write_tools: [mail.send]\n"
            "  limits: {give_backs: {max_per_run: 100}}\n"
            "  budgets: [{id: calls, scope: tenant, measure: calls, limit: 100, window: day}]\n"
        )
    with serving_to(NamedPrincipals(PRINCIPALS), chosen) as server, grpc.insecure_channel(server.address) as channel:
        yield authorization_pb2_grpc.AuthorizationServiceStub(channel)


def allowed(stub: Any, tenant: str) -> Any:
    changes = {"action.tool": "kb.search", "identity.tenant": tenant}
    message = request(changes)
    message.include_permit = True
    decision = stub.Authorize(message, metadata=as_caller("runtime"), timeout=30).decision
    assert decision.effect == decision_pb2.EFFECT_ALLOW, decision
    return decision


def report(stub: Any, name: str, tenant: str, decision: Any, permit: str = "") -> Any:
    """Return the response, or the reason of the refusal."""
    message = authorization_pb2.ReportOutcomeRequest(
        tenant=tenant, decision_id=decision.decision_id, status=NOT_EXECUTED, permit=permit
    )
    try:
        return stub.ReportOutcome(message, metadata=as_caller(name), timeout=30)
    except grpc.RpcError as error:
        return refusal_of(error).reason


def test_an_executor_reports_on_decisions_of_others_and_ends_their_permits(stub: Any) -> None:
    decision = allowed(stub, "acme")
    assert report(stub, "other", "acme", decision) == "NOT_FOUND"
    assert report(stub, "foreign", "acme", decision) == "TENANT_NOT_GRANTED"
    assert list(report(stub, "executor", "acme", decision).kept_budget_ids) == []
    assert report(stub, "runtime", "acme", decision).duplicate


def test_a_runtime_gives_back_only_with_the_permit_that_it_ends(stub: Any) -> None:
    early, ended = allowed(stub, "acme"), allowed(stub, "acme")
    assert list(report(stub, "runtime", "acme", early).kept_budget_ids) == ["calls"]
    assert list(report(stub, "runtime", "acme", ended, ended.permit).kept_budget_ids) == []


def test_a_strict_tenant_hears_executors_and_holders_of_permits(stub: Any) -> None:
    decision = allowed(stub, "strict")
    assert report(stub, "runtime", "strict", decision) == "REPORTER_NOT_EXECUTOR"
    assert report(stub, "runtime", "strict", decision, decision.permit) == "REPORTER_NOT_EXECUTOR"
    assert report(stub, "other", "strict", decision) == "NOT_FOUND"
    assert not report(stub, "other", "strict", decision, decision.permit).duplicate
    assert report(stub, "executor", "strict", decision).duplicate


def test_the_permit_of_another_decision_or_tenant_is_refused(stub: Any) -> None:
    decision, another = allowed(stub, "strict"), allowed(stub, "strict")
    for permit in (another.permit, allowed(stub, "acme").permit, "made up"):
        assert report(stub, "other", "strict", decision, permit) == "PERMIT_NOT_ACCEPTED"


def repeated(stub: Any, key: str, *, include_permit: bool) -> Any:
    """Return the decision of one request of the runtime, which has always the same key."""
    message = request({"action.tool": "kb.search", "identity.tenant": "acme", "idempotency_key": key})
    message.include_permit = include_permit
    return stub.Authorize(message, metadata=as_caller("runtime"), timeout=30).decision


@pytest.mark.parametrize("asks_before", [False, True])
def test_a_repeat_brings_no_permit_for_a_call_that_gave_back(stub: Any, asks_before: bool) -> None:  # noqa: FBT001 - a case
    key = f"late-permit-{asks_before}"
    first = repeated(stub, key, include_permit=False)
    assert not first.permit
    if asks_before:
        assert repeated(stub, key, include_permit=True).permit
    assert list(report(stub, "runtime", "acme", first).kept_budget_ids) == []
    after = repeated(stub, key, include_permit=True)
    assert (after.effect, after.rule_id, after.permit) == (decision_pb2.EFFECT_DENY, "pdp.permit_revoked", "")
