"""What a caller may call, and whom it may name."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pool import Default

from placet.identity.access import ACCESS, Access
from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.identity.permissions import person_of, require_access, resolved_user
from placet.identity.ports import User
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.model import Caller
from placet.transport.grpc.server import SERVICES

AUTHORIZE = ACCESS["AuthorizationService.Authorize"]
APPROVE = ACCESS["ApprovalService.ApproveAction"]
SET_SWITCH = ACCESS["ControlService.SetKillSwitch"]
STATUS = ACCESS["ControlService.GetPolicyStatus"]
CONFIRM = ACCESS["ControlService.ConfirmPolicy"]
DANA = User("dana@example.com", ("support",), frozenset({"acme"}), "https://id.example.com")


def principal(*grants: Grant, person: str = "", roles: frozenset[str] = frozenset()) -> Principal:
    return Principal(Caller("c1", method="token"), grants, person, roles)


def grant(role: Role, *tenants: str, agents: tuple[str, ...] = (), user: UserAssertion = UserAssertion.NEVER) -> Grant:
    return Grant(role, frozenset(tenants), agents, user)


def runtime(user: UserAssertion = UserAssertion.NEVER) -> Principal:
    return principal(grant(Role.AGENT_RUNTIME, "acme", agents=("support-*",), user=user))


def reason_of(error: pytest.ExceptionInfo[PermissionDeniedError]) -> str:
    return error.value.reason


def test_each_method_has_a_row_and_each_row_a_method() -> None:
    methods = {
        f"{service.rpartition('.')[2]}.{method.name}"
        for service in SERVICES
        for method in Default().FindServiceByName(service).methods
    }
    assert set(ACCESS) == methods


@pytest.mark.parametrize(
    ("access", "grants", "tenants", "reason"),
    [
        pytest.param(AUTHORIZE, [], ["acme"], "ROLE_NOT_GRANTED", id="no grant"),
        pytest.param(AUTHORIZE, [grant(Role.ADMIN, "*")], ["acme"], "ROLE_NOT_GRANTED", id="an admin is no runtime"),
        pytest.param(AUTHORIZE, [grant(Role.AGENT_RUNTIME, "b")], ["acme"], "TENANT_NOT_GRANTED", id="other tenant"),
        pytest.param(AUTHORIZE, [grant(Role.AGENT_RUNTIME, "b")], ["b", "acme"], "TENANT_NOT_GRANTED", id="one other"),
        pytest.param(SET_SWITCH, [grant(Role.OPERATOR, "acme")], [""], "TENANT_NOT_GRANTED", id="every tenant"),
        pytest.param(CONFIRM, [grant(Role.OPERATOR, "acme")], ["acme"], "TENANT_NOT_GRANTED", id="server-wide"),
        pytest.param(
            SET_SWITCH,
            [grant(Role.AUDITOR, "acme"), grant(Role.OPERATOR, "b")],
            ["acme"],
            "TENANT_NOT_GRANTED",
            id="another role in that tenant",
        ),
    ],
)
def test_what_is_not_granted_is_refused(access: Access, grants: list[Grant], tenants: list[str], reason: str) -> None:
    with pytest.raises(PermissionDeniedError) as error:
        require_access(principal(*grants), access, tenants)
    assert reason_of(error) == reason


@pytest.mark.parametrize(
    ("access", "grants", "tenants"),
    [
        pytest.param(AUTHORIZE, [grant(Role.AGENT_RUNTIME, "acme")], ["acme", "acme"], id="own tenant"),
        pytest.param(AUTHORIZE, [grant(Role.AGENT_RUNTIME, "acme")], [""], id="invalid, as the servicer says"),
        pytest.param(SET_SWITCH, [grant(Role.OPERATOR, "*")], [""], id="every tenant"),
        pytest.param(SET_SWITCH, [grant(Role.OPERATOR, "*")], ["acme"], id="any tenant"),
        pytest.param(STATUS, [grant(Role.AUDITOR, "b")], [""], id="no tenant needed"),
        pytest.param(CONFIRM, [grant(Role.ADMIN, "*")], [""], id="server-wide"),
    ],
)
def test_what_is_granted_passes(access: Access, grants: list[Grant], tenants: list[str]) -> None:
    require_access(principal(*grants), access, tenants)
    assert grants


@pytest.mark.parametrize(
    ("user", "agent", "named", "proven", "reason"),
    [
        (UserAssertion.TRUSTED, "billing-1", "", None, "AGENT_NOT_GRANTED"),
        (UserAssertion.NEVER, "support-1", "dana", None, "USER_NOT_GRANTED"),
        (UserAssertion.NEVER, "support-1", "", DANA, "USER_NOT_GRANTED"),
        (UserAssertion.TOKEN, "support-1", "dana", None, "USER_TOKEN_REQUIRED"),
        (UserAssertion.TOKEN, "support-1", "eve", DANA, "USER_MISMATCH"),
        (UserAssertion.TRUSTED, "support-1", "eve", DANA, "USER_MISMATCH"),
    ],
)
def test_a_user_or_agent_that_is_not_granted_is_refused(
    user: UserAssertion, agent: str, named: str, proven: User | None, reason: str
) -> None:
    with pytest.raises(PermissionDeniedError) as error:
        resolved_user(runtime(user), "acme", agent, named, [], proven)
    assert reason_of(error) == reason


def test_roles_alone_need_the_same_grant() -> None:
    with pytest.raises(PermissionDeniedError) as error:
        resolved_user(runtime(), "acme", "support-1", "", ["support_lead"], None)
    assert reason_of(error) == "USER_NOT_GRANTED"


def test_roles_that_the_token_lacks_are_refused() -> None:
    with pytest.raises(PermissionDeniedError) as error:
        resolved_user(runtime(UserAssertion.TOKEN), "acme", "support-1", "", ["finance"], DANA)
    assert reason_of(error) == "USER_MISMATCH"


def test_a_user_of_another_tenant_is_refused() -> None:
    of_both = principal(grant(Role.AGENT_RUNTIME, "acme", "b", agents=("*",), user=UserAssertion.TOKEN))
    with pytest.raises(PermissionDeniedError) as error:
        resolved_user(of_both, "b", "support-1", "", [], DANA)
    assert reason_of(error) == "USER_OF_ANOTHER_TENANT"


def test_a_token_says_who_the_user_is() -> None:
    assert resolved_user(runtime(UserAssertion.TOKEN), "acme", "support-1", "", [], DANA) == (DANA.person, DANA.roles)
    assert resolved_user(runtime(UserAssertion.TRUSTED), "acme", "Support-1", "u_1", ["vip"], None) == ("u_1", ["vip"])


def test_the_person_is_who_calls() -> None:
    dana = principal(grant(Role.APPROVER, "acme"), person="dana@example.com", roles=frozenset({"support_lead", "a"}))
    for named in ("", "dana@example.com", "Dana@Example.com"):
        person = person_of(dana, APPROVE, named)
        assert (person.id, person.roles) == ("dana@example.com", ("a", "support_lead"))
    with pytest.raises(PermissionDeniedError) as error:
        person_of(dana, APPROVE, "eve@example.com")
    assert reason_of(error) == "PERSON_MISMATCH"


def test_a_program_cannot_vote_but_may_operate() -> None:
    program = principal(grant(Role.APPROVER, "acme"), grant(Role.OPERATOR, "acme"))
    with pytest.raises(PermissionDeniedError) as error:
        person_of(program, APPROVE, "dana@example.com")
    assert reason_of(error) == "PERSON_REQUIRED"
    assert person_of(program, SET_SWITCH, "").id == "c1"
