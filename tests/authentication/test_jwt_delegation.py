"""Signed hops of a delegation as JWTs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from placet.authentication.authenticator import AcceptedCredentials
from placet.identity.ports import Delegation
from placet.kernel.errors import UnauthenticatedError
from tests.authentication.jwt_env import ISSUER, OTHER_KEY, claims, credentials, entry, signed

HOPS = "api://placet/delegation"
GIVEN = {"delegators": ["planner-*"], "user_tenants": ["acme"], "audience": HOPS}


def given(**changes: Any) -> dict[str, Any]:
    """The claims of a right hop."""
    right = {"aud": HOPS, "sub": "planner-1", "act": {"sub": "support-1"}, "scope": "kb.* jira.search kb.*"}
    return claims(**{**right, **changes})


async def test_a_token_is_a_hop() -> None:
    hop = await credentials([entry(**GIVEN)]).delegation(signed(given()))
    assert hop == Delegation("planner-1", "support-1", ("jira.search", "kb.*"), frozenset({"acme"}), ISSUER)
    assert hop.belongs_to("acme")
    assert not hop.belongs_to("globex")


async def test_people_delegate_by_the_id_by_which_they_vote() -> None:
    """Otherwise the originator could approve what was asked on the originator's behalf."""
    people = entry(**{**GIVEN, "delegators": ["*"]}, people=True)
    assert (await credentials([people]).delegation(signed(given(sub="Anna")))).principal == f"{ISSUER}|anna"
    mails = entry(
        **{**GIVEN, "delegators": ["*"]}, people=True, person_claim="email", person_verified_claim="email_verified"
    )
    token = signed(given(sub="a", email="Anna@Example.com", email_verified=True))
    assert (await credentials([mails]).delegation(token)).principal == "anna@example.com"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"sub": "support-1"}, "may not delegate for its subject"),
        ({"sub": None}, "the claim sub"),
        ({"act": None}, "the claim act"),
        ({"act": "support-1"}, "the claim act"),
        ({"act": {"sub": ""}}, "the claim act"),
        ({"act": {"sub": "x\u200b"}}, "act.sub"),
        ({"scope": None}, "the claim scope"),
        ({"scope": "  "}, "the claim scope"),
        ({"scope": ["kb.*"]}, "the claim scope"),
        ({"exp": 1}, "has expired"),
        ({"aud": "api://other"}, "another audience"),
        ({"iss": "https://evil.example"}, "not trusted"),
    ],
)
async def test_wrong_hops_prove_nothing(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(UnauthenticatedError, match=what) as error:
        await credentials([entry(**GIVEN)]).delegation(signed(given(**changes)))
    assert str(error.value).startswith("identity.delegation_chain: ")


async def test_a_hop_of_another_key_proves_nothing() -> None:
    with pytest.raises(UnauthenticatedError):
        await credentials([entry(**GIVEN)]).delegation(signed(given(), OTHER_KEY))


async def test_each_kind_of_token_serves_its_own_purpose() -> None:
    """A hop is no user and no caller, and neither of these is a hop, also when it has the claims of one."""
    every = credentials([entry(), entry(user_tenants=["acme"], audience="app"), entry(**GIVEN)])
    with pytest.raises(UnauthenticatedError, match="not for delegation"):
        await every.delegation(signed(given(aud="app")))
    with pytest.raises(UnauthenticatedError, match="not for delegation"):
        await every.delegation(signed(given(aud="api://placet")))
    with pytest.raises(UnauthenticatedError, match="not for users"):
        await every.user(signed(given()))
    with pytest.raises(UnauthenticatedError, match="is for delegation"):
        await every.principal(signed(given()), "peer")


async def test_a_verified_hop_is_remembered_until_it_expires() -> None:
    verifier = credentials([entry(**GIVEN)])
    token = signed(given())
    assert await verifier.delegation(token) is await verifier.delegation(token)


async def test_without_an_issuer_of_delegations_hops_are_refused() -> None:
    with pytest.raises(UnauthenticatedError, match="trusts no issuer of delegations"):
        await AcceptedCredentials().delegation_of("x")
    with pytest.raises(UnauthenticatedError, match="longer than"):
        await AcceptedCredentials(delegations=credentials([entry(**GIVEN)])).delegation_of("x" * 20_000)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"delegators": ["a"]}, "need tenants_claim or user_tenants"),
        ({**GIVEN, "grants": [{"role": "auditor", "tenants": "acme"}]}, "exclude each other"),
        ({**GIVEN, "delegators": ["*" * 9]}, "at most 8"),
        ({**GIVEN, "person_claim": "oid"}, "people: must be true"),
    ],
)
def test_wrong_entries_are_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        entry(**{"user_tenants": [], **changes} if "user_tenants" not in changes else changes)
