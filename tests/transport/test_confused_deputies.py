"""A caller cannot use what it may do to do what it may not: vote as a program, on its own action, or twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.identity.ports import User
from placet.kernel.model import Caller
from tests.serving import settings
from tests.transport.authenticated import Callers, NamedPrincipals, as_caller, serving_to
from tests.transport.streaming import StreamCall, streamed
from tests.transport.wire import Refusal
from tests.transport.wire import request as streamed_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

TENANT = "acme"
HERE = frozenset({TENANT})
POLICY = """
agent_policy:
  default_mode: read_only
  write_tools: [vault.pay]
  approvals:
    vault.pay: {quorum: 2, approver_roles: [keeper]}
"""
DANA, TOKEN = "dana@example.com", "token of dana"


def person(issuer: str, name: str = DANA) -> Principal:
    caller = Caller(f"{issuer}|1", method="jwt", issuer=issuer)
    return Principal(caller, (Grant(Role.APPROVER, HERE),), name, frozenset({"keeper"}))


RUNTIME = Principal(
    Caller("runtime", method="token"),
    (Grant(Role.AGENT_RUNTIME, HERE, ("*",), UserAssertion.TOKEN), Grant(Role.APPROVER, HERE)),
)
PRINCIPALS = {
    "runtime": RUNTIME,
    "dana": person("https://one.example"),
    "dana elsewhere": person("https://other.example"),
    "kim": person("https://one.example", "kim@example.com"),
    "lee": person("https://one.example", "lee@example.com"),
    "kim elsewhere": person("https://other.example", "kim@example.com"),
    "lea": Principal(
        Caller("https://one.example|7", method="jwt", issuer="https://one.example", person="lea@example.com"),
        (Grant(Role.AGENT_RUNTIME, HERE, ("*",)), Grant(Role.APPROVER, HERE)),
        "lea@example.com",
        frozenset({"keeper"}),
    ),
    "lea elsewhere": person("https://other.example", "lea@example.com"),
    "auditor": Principal(Caller("auditor", method="token", is_program=True), (Grant(Role.AUDITOR, HERE),)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chosen = settings(tmp_path_factory.mktemp("deputies"))
    (chosen.rego_dir / "config" / f"{TENANT}.yaml").write_text(POLICY)
    users = {TOKEN: User("Dana@Example.com", (), HERE, "https://users.example")}
    with serving_to(NamedPrincipals(PRINCIPALS, users), chosen) as running:
        yield running


@pytest.fixture
def approval(callers: Callers, request: pytest.FixtureRequest) -> str:
    """The id of an approval of an action on Dana's behalf."""
    action = {"tool": "vault.pay", "params_json": f'{{"for":"{request.node.name}"}}'}
    identity = {"agent": "payer", "tenant": TENANT, "user_token": TOKEN}
    decided = callers.ask(
        "runtime",
        "AuthorizationService.Authorize",
        idempotency_key=request.node.name,
        action=action,
        identity=identity,
    )
    approval_id: str = decided.decision.approval.id
    assert approval_id
    return approval_id


def vote(callers: Callers, name: str, approval_id: str, **more: Any) -> str:
    """Vote, and return the reason why the vote is refused; "" if it counts."""
    answer = callers.ask(name, "ApprovalService.ApproveAction", tenant=TENANT, approval_id=approval_id, **more)
    return answer.reason if isinstance(answer, Refusal) else ""


def test_a_runtime_cannot_vote(callers: Callers, approval: str) -> None:
    assert vote(callers, "runtime", approval) == "PERSON_REQUIRED"
    claimed = {"id": "kim@example.com", "roles": ["keeper"]}
    assert vote(callers, "runtime", approval, approver=claimed) == "PERSON_REQUIRED"


def test_the_user_cannot_vote_with_a_credential_of_any_issuer(callers: Callers, approval: str) -> None:
    assert vote(callers, "dana", approval) == "REQUESTER_MAY_NOT_APPROVE"
    assert vote(callers, "dana elsewhere", approval) == "REQUESTER_MAY_NOT_APPROVE"


def test_nobody_votes_in_the_name_of_another_person(callers: Callers, approval: str) -> None:
    assert vote(callers, "dana", approval, approver={"id": "kim@example.com"}) == "PERSON_MISMATCH"
    assert vote(callers, "kim", approval, approver={"id": "KIM@example.com", "roles": ["owner"]}) == ""


def test_two_credentials_of_one_person_are_one_vote(callers: Callers, approval: str) -> None:
    assert vote(callers, "kim", approval) == ""
    assert vote(callers, "kim elsewhere", approval) == "VOTED_ALREADY"
    shown = callers.ask("lee", "ApprovalService.GetApproval", tenant=TENANT, approval_id=approval).approval
    assert [each.person for each in shown.votes] == ["kim@example.com"]
    assert vote(callers, "lee", approval) == ""


def test_the_person_who_sent_it_cannot_vote_whatever_the_id_of_the_caller(callers: Callers) -> None:
    decided = callers.ask(
        "lea",
        "AuthorizationService.Authorize",
        idempotency_key="sent by lea",
        action={"tool": "vault.pay", "params_json": "{}"},
        identity={"agent": "payer", "tenant": TENANT},
    )
    for name in ("lea", "lea elsewhere"):
        assert vote(callers, name, decided.decision.approval.id) == "REQUESTER_MAY_NOT_APPROVE"
    assert vote(callers, "kim", decided.decision.approval.id) == ""


@pytest.mark.parametrize("tenant", ["globex", "acme"])
def test_an_invalid_request_is_not_recorded_in_a_tenant_of_others(server: Server, tenant: str) -> None:
    with StreamCall(server.address, as_caller("auditor")) as stream:
        stream.send(streamed("", streamed_request({"identity.tenant": tenant})))
        [answer] = stream.wait(1)
    assert "id: is required" in answer.error.message
    assert server.records("request.refused")[-1]["tenant"] == (tenant if tenant == TENANT else "")
