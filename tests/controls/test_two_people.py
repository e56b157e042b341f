"""A change that needs two people is not made by a person and that person's program."""

from __future__ import annotations

from typing import Any

import pytest

from placet.authentication.client_certificate import CertificateCallers
from placet.authentication.dev_certificates import CertificateAuthority
from placet.authentication.document import CertificateEntry
from placet.commands.four_eyes import AwaitingSecondPerson, ChangeCommand, ChangeKind, Confirmed, request_or_confirm
from placet.identity.model import Grant, Principal, Role
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.server.system import SystemClock
from placet.tokens.model import AccessToken
from tests.support.fakes import NOW_US

GRANTS = (Grant(Role.OPERATOR, frozenset({"acme"})),)


def command(actor: str, caller: Caller) -> ChangeCommand:
    return ChangeCommand(ChangeKind.KILL_SWITCH_CLEAR, "acme", "ks_1", "", actor, "over", caller)


def token(person: str) -> Principal:
    made = AccessToken("tok_1", "ci", "d", GRANTS, person, (), "root", NOW_US, NOW_US + 10**12)
    return made.principal("ipv4:1")


def certificate() -> Principal:
    spiffe_id = "spiffe://example.org/ci"
    entry: Any = {"spiffe_id": spiffe_id, "grants": [{"role": "operator", "tenants": "acme"}]}
    pem, _ = CertificateAuthority().client("ci", [spiffe_id])
    return CertificateCallers([CertificateEntry.model_validate(entry)], SystemClock()).principal(pem, "ipv4:1")


@pytest.mark.parametrize("program", [token(""), certificate()], ids=["token", "certificate"])
def test_a_program_is_neither_of_two_people(program: Principal) -> None:
    person = token("ann")
    first = request_or_confirm(None, command("ann", person.caller), NOW_US)
    assert isinstance(first, AwaitingSecondPerson)
    for row in (None, first.put.row):
        with pytest.raises(PermissionDeniedError) as error:
            request_or_confirm(row, command(program.caller.name, program.caller), NOW_US)
        assert error.value.reason == "PEOPLE_NEEDED"
    second = request_or_confirm(first.put.row, command("ben", token("ben").caller), NOW_US)
    assert isinstance(second, Confirmed)


def test_without_authentication_any_name_is_a_person() -> None:
    first = request_or_confirm(None, command("ann", UNAUTHENTICATED), NOW_US)
    assert isinstance(first, AwaitingSecondPerson)
    assert isinstance(request_or_confirm(first.put.row, command("ben", UNAUTHENTICATED), NOW_US), Confirmed)
