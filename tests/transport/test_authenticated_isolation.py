"""No authenticated caller sees, uses or changes what belongs to a tenant without a grant. Every RPC has attempts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from placet.identity.model import EVERY_TENANT, Grant, Principal, Role, UserAssertion
from placet.identity.ports import User
from placet.kernel.model import Caller
from placet.v1 import approval_pb2, authorization_pb2, control_pb2
from tests.serving import serving, settings
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.tenant_isolation import (
    AGENT,
    ATTACKER,
    INTRUDER,
    PAY,
    POLICY,
    READ,
    SECRET,
    USER,
    VICTIM,
    WIRE,
    Houses,
    Victim,
)
from tests.transport.test_isolation import ATTEMPTS, BY, action
from tests.transport.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving import Server

DENIED, NOT_FOUND, OK = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK
WITHOUT_TENANT = {
    "ControlService.ConfirmPolicy",
    "ControlService.SetKillSwitch",
    "ControlService.ClearKillSwitch",
    "ControlService.ListKillSwitches",
    "KeyService.RotateKey",
}
"""Calls whose attempts without a tenant concern every tenant."""
ABOUT_THE_SERVER = {
    "AuditService.VerifyAudit",
    "ControlService.GetPolicyStatus",
    "ControlService.GetPermitKeys",
    "ControlService.ConfirmPolicy",
    "KeyService.ListKeys",
    "KeyService.RotateKey",
}


def everything_in(tenant: str, person: str) -> Principal:
    """Return a person whose credential has every role in a tenant, and no other grant."""
    tenants = frozenset({tenant})
    grants = tuple(
        Grant(role, tenants, ("*",), UserAssertion.TRUSTED) if role is Role.AGENT_RUNTIME else Grant(role, tenants)
        for role in Role
    )
    return Principal(Caller(f"caller-{person}", method="token"), grants, person, frozenset({"keeper"}))


AUTHENTICATOR = NamedPrincipals(
    {
        "mallory": everything_in(ATTACKER, "mallory"),
        "owner": everything_in(VICTIM, "owen"),
        "second owner": everything_in(VICTIM, "olga"),
        "root": Principal(Caller("root"), (Grant(Role.ADMIN, frozenset({EVERY_TENANT})),), "rita"),
    },
    {"user of the victim": User(USER, (), frozenset({VICTIM}), "https://id.example.com")},
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("isolation")


@pytest.fixture(scope="module")
def victim(data_dir: Path) -> Victim:
    """What the victim has since before callers were authenticated."""
    chosen = settings(data_dir)
    for tenant in (VICTIM, ATTACKER, INTRUDER):
        (chosen.rego_dir / "config" / f"{tenant}.yaml").write_text(POLICY)
    with serving(chosen) as server:
        houses = Houses(server)
        made = Victim(houses.furnish("guessed"), houses.furnish("hidden"))
        houses.channel.close()
        return made


@pytest.fixture(scope="module")
def server(data_dir: Path, victim: Victim) -> Iterator[Server]:
    assert victim.guessed.allowed
    with serving_to(AUTHENTICATOR, settings(data_dir)) as made:
        yield made


def attempt(callers: Callers, method: str, fields: dict[str, Any]) -> tuple[grpc.StatusCode, bytes]:
    """Return the code of a call of the attacker, and everything that it reads."""
    descriptor = every_rpc()[method]
    answer = callers.call("mallory", descriptor, [ParseDict(fields, message_class(descriptor)())])
    if isinstance(answer, Refusal):
        return answer.code, f"{answer.text}{answer.violations}".encode()
    return OK, b"".join(answer)


def stored(server: Server) -> dict[str, list[Any]]:
    """Return what is stored of the victim, without the records of refused access."""
    houses = Houses(server)
    houses.channel.close()
    state = houses.state()
    refused = {row[1:3] for row in state["audit_records"] if "access.refused" in row}
    for table in ("audit_records", "audit_parts"):
        state[table] = [row for row in state[table] if row[1:3] not in refused]
    return dict(state)


def of_the_victim(fields: Any) -> Any:
    """Return the fields with the victim's tenant in place of the attacker's."""
    if isinstance(fields, dict):
        return {name: of_the_victim(value) for name, value in fields.items()}
    if isinstance(fields, list):
        return [of_the_victim(value) for value in fields]
    return VICTIM if fields == ATTACKER else fields


def names(fields: Any, tenant: str) -> bool:
    return f"'{tenant}'" in repr(fields)


@pytest.mark.parametrize("name", sorted(every_rpc()))
def test_a_caller_sees_and_changes_nothing_of_another_tenant(
    server: Server, callers: Callers, victim: Victim, name: str
) -> None:
    before = stored(server)
    for each in ATTEMPTS[name](victim.guessed):
        denied = names(each.fields, VICTIM) or (name in WITHOUT_TENANT and not names(each.fields, ATTACKER))
        code, output = attempt(callers, name, each.fields)
        assert code is (DENIED if denied else each.code), (each, output)
        assert not [secret for secret in victim.secrets if secret in output], each
        assert denied or VICTIM.encode() not in output, each
    assert stored(server) == before


@pytest.mark.parametrize("name", sorted(set(every_rpc()) - ABOUT_THE_SERVER))
def test_a_caller_cannot_name_another_tenant(server: Server, callers: Callers, victim: Victim, name: str) -> None:
    before = stored(server)
    for each in ATTEMPTS[name](victim.guessed):
        fields = of_the_victim(each.fields)
        if not names(fields, VICTIM):
            continue
        code, output = attempt(callers, name, fields)
        if name == "AuthorizationService.AuthorizeStream":
            answers = authorization_pb2.AuthorizeStreamResponse.FromString(output).responses
            assert {answer.error.code for answer in answers} == {DENIED.value[0]}
        else:
            assert code is DENIED, (fields, output)
        assert not [secret for secret in victim.secrets if secret in output], fields
    assert stored(server) == before


def test_an_operator_cannot_clear_a_switch_of_another_tenant_or_of_none(callers: Callers, victim: Victim) -> None:
    everywhere = callers.ask(
        "root", "ControlService.SetKillSwitch", scope={"workflow": "none"}, reason="r"
    ).kill_switch.id
    for switch in (everywhere, victim.guessed.switch, victim.hidden.switch):
        for tenant, code in ((ATTACKER, NOT_FOUND), (VICTIM, DENIED), ("", DENIED)):
            fields = {"kill_switch_id": switch, "tenant": tenant, **BY}
            assert attempt(callers, "ControlService.ClearKillSwitch", fields)[0] is code
    listed = callers.ask("mallory", "ControlService.ListKillSwitches", tenant=ATTACKER).kill_switches
    assert everywhere in {each.id for each in listed}
    assert {each.scope.tenant for each in listed} <= {"", ATTACKER}
    assert callers.ask("root", "ControlService.ClearKillSwitch", kill_switch_id=everywhere, reason="r").cleared


def test_votes_of_every_tenant_need_a_grant_for_every_tenant(callers: Callers) -> None:
    fields = {"person": "owen", "reason": "r"}
    assert attempt(callers, "ApprovalService.VoidVotes", fields)[0] is DENIED
    assert not isinstance(callers.ask("root", "ApprovalService.VoidVotes", **fields), Refusal)


def test_a_user_token_of_another_tenant_is_refused(callers: Callers) -> None:
    request = action(READ)
    request["identity"]["user_token"] = "user of the victim"  # noqa: S105 - a name in this test
    refused = callers.ask("mallory", "AuthorizationService.Authorize", **request)
    assert (refused.code, refused.reason) == (DENIED, "USER_OF_ANOTHER_TENANT")


def test_a_key_of_another_caller_is_a_new_key(callers: Callers, victim: Victim) -> None:
    request = of_the_victim(action(PAY, idempotency_key=victim.guessed.key))
    decision = callers.ask("owner", "AuthorizationService.Authorize", **request).decision
    assert decision.decision_id not in {"", victim.guessed.allowed}


def test_the_owner_has_access_to_everything(callers: Callers, victim: Victim) -> None:
    """Proves that the ids in the attempts are valid for those who may use them."""
    owned = victim.guessed
    by_id = {"tenant": VICTIM, "approval_id": owned.waiting}
    assert callers.ask("owner", "AuditService.GetDecision", tenant=VICTIM, decision_id=owned.allowed).decision.tenant
    page = callers.ask("owner", "AuditService.QueryDecisions", tenant=VICTIM, page_token=owned.page_token)
    assert page.decisions
    approved = callers.ask("owner", "ApprovalService.ApproveAction", **by_id).approval
    assert (approved.state, approved.votes[0].person) == (approval_pb2.APPROVAL_STATE_APPROVED, "owen")
    watched = callers.ask("owner", "AuthorizationService.WatchDecision", tenant=VICTIM, decision_id=owned.allowed)
    assert watched.state
    cleared = callers.ask(
        "owner", "ControlService.ClearKillSwitch", tenant=VICTIM, kill_switch_id=owned.switch, reason="r"
    )
    assert cleared.cleared


def status_of(callers: Callers, name: str) -> control_pb2.GetPolicyStatusResponse:
    found = callers.ask(name, "ControlService.GetPolicyStatus")
    assert isinstance(found, control_pb2.GetPolicyStatusResponse)
    return found


def test_a_caller_sees_the_tenants_of_its_grants(callers: Callers) -> None:
    assert list(status_of(callers, "mallory").tenants) == [ATTACKER]
    assert set(status_of(callers, "root").tenants) > {ATTACKER, VICTIM, INTRUDER}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (POLICY.replace("quorum: 1", f"{SECRET}: 1"), "last_error"),
        (POLICY.replace("vault.wire: {quorum: 1, approver_roles: [keeper]}", ""), "held_reasons"),
    ],
)
def test_problems_of_the_files_of_other_tenants_are_hidden(
    server: Server, callers: Callers, content: str, field: str
) -> None:
    file = server.data_dir / "rego" / "config" / f"{VICTIM}.yaml"
    file.write_text(content)
    try:
        deadline = time.monotonic() + 60
        while not getattr(status_of(callers, "root"), field):
            assert time.monotonic() < deadline, "the problem is not reported"
            time.sleep(0.2)
        assert VICTIM in str(getattr(status_of(callers, "root"), field))
        seen = status_of(callers, "mallory")
        assert getattr(seen, field), "it is told that there is a problem"
        assert not [word for word in (VICTIM, SECRET, WIRE) if word in str(seen)]
    finally:
        file.write_text(POLICY)


def test_delegates_and_agents_have_the_same_names_in_each_tenant(callers: Callers) -> None:
    decision = callers.ask("mallory", "AuthorizationService.Authorize", **action(READ)).decision
    found = callers.ask("mallory", "AuditService.QueryDecisions", tenant=ATTACKER, agent=AGENT)
    assert decision.decision_id in {each.decision.decision_id for each in found.decisions}
    assert {each.tenant for each in found.decisions} == {ATTACKER}
