"""A file with which a program would be a person, or one person two, is refused; where it may be so, doctor says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from placet.authentication.document import AuthenticationDocument
from placet.authentication.people import people_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE, OTHER = "https://one.example", "https://other.example"
EMAIL: dict[str, Any] = {"person_claim": "email", "person_verified_claim": "email_verified"}
HUMAN: dict[str, Any] = {"people_when": {"groups": "employees"}}


def voters(issuer: str = ONE, tenant: str = "acme", role: str = "approver", **changes: Any) -> dict[str, Any]:
    grants = [{"role": role, "tenants": tenant}]
    given = {"issuer": issuer, "audience": "placet", "algorithms": "RS256", "people": True, "grants": grants}
    return {**given, **changes}


def users(issuer: str = OTHER, tenants: str = "acme", **changes: Any) -> dict[str, Any]:
    return {"issuer": issuer, "audience": "app", "algorithms": "RS256", "user_tenants": tenants, **changes}


def document(*entries: dict[str, Any]) -> AuthenticationDocument:
    return AuthenticationDocument.model_validate({"accept": ["jwt"], "issuers": entries})


REFUSED: dict[str, tuple[Sequence[dict[str, Any]], str]] = {
    "nothing tells programs apart": ([voters()], "issuers[0].people_when: is required"),
    "a claim that programs have": ([voters(person_claim="oid")], "issuers[0].people_when: is required"),
    "operators": ([voters(role="operator", tenant="*")], "issuers[0].people_when: is required"),
    "the second entry": ([voters(**HUMAN), voters(OTHER)], "issuers[1].people_when: is required"),
    "one with and one without": ([voters(**HUMAN), voters(OTHER, **EMAIL)], "issuers[1].person_claim: differs from"),
    "two claims": (
        [voters(**EMAIL), voters(OTHER, person_claim="employee")],
        "issuers[1].person_claim: differs from issuers[0], and the people of both decide in acme",
    ),
    "one of them everywhere": (
        [voters(**EMAIL), voters(OTHER, role="admin", tenant="*", **HUMAN)],
        "the people of both decide in acme, so that one person would be two",
    ),
    "both everywhere": (
        [voters(role="admin", tenant="*", **EMAIL), voters(OTHER, role="operator", tenant="*", **HUMAN)],
        "decide in every tenant",
    ),
    "subjects that differ between applications": (
        [voters(**HUMAN), users(ONE, caller_claim="oid")],
        "issuers[1].caller_claim: differs from issuers[0], so that one person would be two",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_two_person_rules_that_would_not_hold_are_refused(name: str) -> None:
    entries, found = REFUSED[name]
    with pytest.raises(ValidationError) as error:
        document(*entries)
    assert found in str(error.value)


@pytest.mark.parametrize(
    "entries",
    [
        [voters(**EMAIL)],
        [voters(person_claim="employee")],
        [voters(**HUMAN)],
        [voters(role="auditor")],
        [voters(**EMAIL), voters(OTHER, **EMAIL)],
        [voters(**HUMAN), voters(OTHER, tenant="globex", **EMAIL)],
        [voters(**HUMAN), voters(OTHER, role="auditor", **EMAIL)],
        [voters(**EMAIL), users(**EMAIL)],
        [voters(**HUMAN), users(tenants="globex")],
        [voters(**HUMAN), users(ONE)],
    ],
)
def test_entries_whose_people_are_told_apart_need_no_word(entries: Sequence[dict[str, Any]]) -> None:
    assert not list(people_warnings(document(*entries).issuers))


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([voters(**HUMAN), voters(OTHER, **HUMAN)], "issuers[0] and issuers[1]: a person with an account at both"),
        ([voters(**EMAIL), users()], "issuers[0] and issuers[1]: a user with an account at both can approve"),
        ([users(), voters(**HUMAN)], "a user with an account at both can approve"),
        ([voters(**EMAIL), users(user_tenants=(), tenants_claim="org")], "on the user's own behalf in acme"),
    ],
)
def test_people_who_may_be_two_are_told(entries: Sequence[dict[str, Any]], found: str) -> None:
    [warning] = people_warnings(document(*entries).issuers)
    assert found in warning
