"""What the tokens of the usual providers prove: Okta, Entra, Auth0, Keycloak and Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from placet.identity.model import Role
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.limits import ROLES_MAX
from tests.authentication.jwt_env import ISSUER, RUNTIME, claims, credentials, entry, signed

APPROVER = {"role": "approver", "tenants": "acme"}
TENANT = "9f3b2c1a-0000-4000-8000-000000000001"
ENTRA = f"https://login.microsoftonline.com/{TENANT}/v2.0"

OKTA_PROGRAM = {"ver": 1, "jti": "AT.1", "cid": "0oa1runtime", "scp": ["placet.authorize"], "sub": "0oa1runtime"}
OKTA_USER = {
    "ver": 1,
    "jti": "AT.2",
    "cid": "0oa2cli",
    "uid": "00u1alice",
    "scp": ["openid", "placet.approve"],
    "auth_time": 1_700_000_000,
    "sub": "Alice@Example.com",
    "email": "Alice@Example.com",
    "email_verified": True,
    "groups": ["support_lead", "everyone"],
}
ENTRA_PROGRAM = {
    "iss": ENTRA,
    "aio": "E2Z",
    "azp": "11111111-0000-4000-8000-000000000001",
    "azpacr": "1",
    "idtyp": "app",
    "oid": "22222222-0000-4000-8000-000000000002",
    "rh": "0.A",
    "roles": ["Placet.Runtime"],
    "sub": "22222222-0000-4000-8000-000000000002",
    "tid": TENANT,
    "uti": "u",
    "ver": "2.0",
}
ENTRA_USER = {
    **ENTRA_PROGRAM,
    "idtyp": "user",
    "oid": "33333333-0000-4000-8000-000000000003",
    "sub": "pairwise-AbC",
    "preferred_username": "bob@example.com",
    "scp": "Placet.Approve Placet.Read",
    "roles": ["support_lead"],
}
AUTH0_PROGRAM = {"sub": "abc@clients", "azp": "abc", "gty": "client-credentials", "scope": "authorize"}
SERVICE_ACCOUNT = {
    "sub": "system:serviceaccount:agents:support",
    "kubernetes.io": {
        "namespace": "agents",
        "pod": {"name": "support-7", "uid": "p"},
        "serviceaccount": {"name": "support", "uid": "s"},
    },
}


def people(**changes: Any) -> Any:
    return entry(people=True, grants=[APPROVER], **changes)


async def principal_of(content: dict[str, Any], of: Any) -> Any:
    return await credentials([of]).principal(signed(claims(**content)), "peer")


async def test_a_program_of_okta() -> None:
    granted = entry(grants=[{**RUNTIME, "when": {"scp": "placet.authorize"}}])
    principal = await principal_of(OKTA_PROGRAM, granted)
    assert principal.caller.name == f"{ISSUER}|0oa1runtime"
    assert [grant.role for grant in principal.grants] == [Role.AGENT_RUNTIME]
    assert (await principal_of({**OKTA_PROGRAM, "scp": ["other"]}, granted)).grants == ()


async def test_a_person_of_okta() -> None:
    of = people(caller_claim="uid", person_claim="email", person_verified_claim="email_verified", roles_claim="groups")
    principal = await principal_of(OKTA_USER, of)
    assert principal.caller.name == f"{ISSUER}|00u1alice"
    assert principal.person == principal.caller.acting == "alice@example.com"
    assert principal.roles == {"support_lead", "everyone"}


async def test_a_program_of_entra() -> None:
    granted = entry(issuer=ENTRA, caller_claim="oid", grants=[{**RUNTIME, "when": {"roles": "Placet.Runtime"}}])
    principal = await principal_of(ENTRA_PROGRAM, granted)
    assert principal.caller.name == f"{ENTRA}|22222222-0000-4000-8000-000000000002"
    assert [grant.role for grant in principal.grants] == [Role.AGENT_RUNTIME]


async def test_a_person_of_entra() -> None:
    granted = {**APPROVER, "when": {"scp": "Placet.Approve", "tid": TENANT}}
    of = entry(issuer=ENTRA, caller_claim="oid", people=True, roles_claim="roles", grants=[granted])
    principal = await principal_of(ENTRA_USER, of)
    assert principal.person == f"{ENTRA}|33333333-0000-4000-8000-000000000003"
    assert principal.roles == {"support_lead"}
    assert [grant.role for grant in principal.grants] == [Role.APPROVER]


@pytest.mark.parametrize(
    "content",
    [
        OKTA_PROGRAM,
        ENTRA_PROGRAM,
        {**ENTRA_PROGRAM, "idtyp": None},
        AUTH0_PROGRAM,
        {"sub": "client", "client_id": "client"},
        SERVICE_ACCOUNT,
    ],
)
async def test_a_program_is_no_person_where_people_call_too(content: dict[str, Any]) -> None:
    of = people(issuer=content.get("iss", ISSUER))
    assert (await principal_of(content, of)).person == ""
    users = entry(issuer=content.get("iss", ISSUER), user_tenants="acme")
    with pytest.raises(UnauthenticatedError, match="is a program's and not a user's"):
        await credentials([users]).user(signed(claims(**content)))


async def test_a_program_that_acts_for_a_person_cannot_vote_as_the_person() -> None:
    exchanged = {**OKTA_USER, "act": {"sub": "support-robot"}}
    principal = await principal_of(exchanged, people(caller_claim="uid"))
    assert (principal.person, principal.caller.is_program) == ("", True)
    users = entry(audience="0oa2app", caller_claim="uid", user_tenants="acme")
    assert (await credentials([users]).user(signed(claims(**{**exchanged, "aud": "0oa2app"})))).person


async def test_claims_can_tell_people_from_programs() -> None:
    of = people(people_when={"/realm_access/roles": "human"})
    person = {"sub": "1f", "realm_access": {"roles": ["human", "offline_access"]}}
    assert (await principal_of(person, of)).person == f"{ISSUER}|1f"
    assert (await principal_of({"sub": "2f", "realm_access": {"roles": []}}, of)).person == ""


async def test_a_service_account_of_kubernetes() -> None:
    granted = {**RUNTIME, "when": {"/kubernetes.io/namespace": "agents"}}
    principal = await principal_of(SERVICE_ACCOUNT, entry(grants=[granted]))
    assert principal.caller.name == f"{ISSUER}|system:serviceaccount:agents:support"
    assert len(principal.grants) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email": None},
    ],
)
async def test_a_person_without_a_verified_claim_is_not_another_person(changes: dict[str, Any]) -> None:
    """A person who chooses the scopes of a token must not be two people, who approve for each other."""
    of = people(person_claim="email", person_verified_claim="email_verified")
    with pytest.raises(UnauthenticatedError, match="email"):
        await principal_of({**OKTA_USER, **changes}, of)


@pytest.mark.parametrize("email", [f"{ISSUER}|00u1alice", "\u0430lice@example.com", "alice@example.com\u200b", " "])
async def test_a_claim_cannot_spell_another_person(email: str) -> None:
    of = people(person_claim="email", person_verified_claim="email_verified")
    with pytest.raises(UnauthenticatedError, match="email"):
        await principal_of({**OKTA_USER, "email": email}, of)


async def test_the_id_of_a_person_is_one_that_requests_accept() -> None:
    """With a port in the issuer, an address as subject reads as a password in a URL, which no id may hold."""
    issuer = "https://id.example.com:8443"
    with pytest.raises(UnauthenticatedError, match="password in a URL"):
        await principal_of({"iss": issuer, "sub": "alice@example.com"}, people(issuer=issuer))
    assert (await principal_of({"iss": issuer, "sub": "1f"}, people(issuer=issuer))).person == f"{issuer}|1f"


async def test_one_person_has_one_id_whatever_the_spelling() -> None:
    of = people(person_claim="email", person_verified_claim="email_verified")
    emails = ["alice@example.com", "ALICE@EXAMPLE.COM", "\uff21lice@example.com"]
    ids = {(await principal_of({**OKTA_USER, "email": email}, of)).person for email in emails}
    assert ids == {"alice@example.com"}


async def test_the_token_of_a_user() -> None:
    of = entry(audience="0oa2app", roles_claim="groups", user_tenants=["acme", "initech"])
    user = await credentials([of]).user(signed(claims(**{**OKTA_USER, "aud": "0oa2app", "sub": "00u1alice"})))
    assert user.person == f"{ISSUER}|00u1alice"
    assert user.roles == ("everyone", "support_lead")
    assert user.tenants == {"acme", "initech"}
    assert user.issuer == ISSUER


@pytest.mark.parametrize(
    ("value", "tenants"),
    [
        (["acme", "initech"], {"acme", "initech"}),
        ("acme", {"acme"}),
        (["*"], set()),
        ("*", set()),
        (["../acme", "Acme", "", "acme "], set()),
        (None, set()),
    ],
)
async def test_a_token_names_the_tenants_of_its_user(value: object, tenants: set[str]) -> None:
    of = entry(tenants_claim="org")
    assert (await credentials([of]).user(signed(claims(org=value)))).tenants == tenants


async def test_a_token_of_a_user_is_no_credential_of_a_caller() -> None:
    """A runtime holds the token of its user. With it, it must not vote as the user."""
    verifier = credentials([people(), entry(audience="users", user_tenants="acme")])
    token = signed(claims(aud="users"))
    assert (await verifier.user(token)).person
    with pytest.raises(UnauthenticatedError, match=r"send it as identity\.user_token"):
        await verifier.principal(token, "peer")


async def test_a_token_of_a_caller_is_no_token_of_a_user() -> None:
    verifier = credentials([people(), entry(audience="users", user_tenants="acme")])
    token = signed(claims())
    assert (await verifier.principal(token, "peer")).person
    with pytest.raises(
        UnauthenticatedError, match=r"identity\.user_token proves no user: the audience .* not for users"
    ):
        await verifier.user(token)


async def test_a_token_for_both_audiences_is_neither() -> None:
    verifier = credentials([people(), entry(audience="users", user_tenants="acme")])
    token = signed(claims(aud=["api://placet", "users"]))
    with pytest.raises(UnauthenticatedError, match="several audiences"):
        await verifier.principal(token, "peer")
    with pytest.raises(UnauthenticatedError, match="several audiences"):
        await verifier.user(token)


async def test_a_token_may_have_audiences_that_mean_nothing_here() -> None:
    principal = await principal_of({"aud": ["api://placet", f"{ISSUER}/userinfo"]}, entry())
    assert principal.caller.issuer == ISSUER


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ([f"g{number}" for number in range(ROLES_MAX + 1)], f"at most {ROLES_MAX}"),
        (["support", 7], "list of texts"),
        ({"support": True}, "list of texts"),
        ([" "], "blank"),
        (["a\nb"], "invisible"),
        (["g" * 200], "longer than"),
    ],
)
async def test_roles_that_policy_cannot_read_are_refused(groups: object, found: str) -> None:
    with pytest.raises(UnauthenticatedError, match=found):
        await principal_of({"groups": groups}, people(roles_claim="groups"))


@pytest.mark.parametrize(
    ("value", "granted"),
    [("yes", True), (["no", "yes"], True), ("no yes", False), ("YES", False), (True, False), ({"yes": 1}, False)],
)
async def test_a_grant_depends_on_claims(value: object, granted: bool) -> None:  # noqa: FBT001 - expected
    of = entry(grants=[{**RUNTIME, "when": {"tier": "yes"}}])
    assert bool((await principal_of({"tier": value}, of)).grants) is granted
