"""What a grant may say, whether a file or an access token gives it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from placet.authentication.grants import GrantEntry
from placet.identity.grants import grant_problems, tenants_problem
from placet.identity.model import Grant, Role, UserAssertion, is_tenant
from placet.kernel.errors import InvalidRequestError
from placet.tokens.checks import require_valid
from placet.tokens.model import NewToken
from placet.transport.grpc.messages.validation import RequestValidator, tenant_or_nothing
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNTIME = Grant(Role.AGENT_RUNTIME, frozenset({"acme"}), ("support-*",), UserAssertion.TRUSTED)
OPERATOR = Grant(Role.OPERATOR, frozenset({"acme"}))
RIGHT = [
    RUNTIME,
    replace(RUNTIME, agents=("*",), tenants=frozenset({"acme", "globex"})),
    OPERATOR,
    replace(OPERATOR, tenants=frozenset({"*"})),
]
WRONG = {
    "no tenants": (replace(OPERATOR, tenants=frozenset()), "tenants"),
    "a path": (replace(OPERATOR, tenants=frozenset({"../acme"})), "tenants"),
    "a capital": (replace(OPERATOR, tenants=frozenset({"Acme"})), "tenants"),
    "a line end": (replace(OPERATOR, tenants=frozenset({"acme\n"})), "tenants"),
    "every tenant and another": (replace(OPERATOR, tenants=frozenset({"*", "acme"})), "tenants"),
    "a runtime of every tenant": (replace(RUNTIME, tenants=frozenset({"*"})), "tenants"),
    "an approver of every tenant": (Grant(Role.APPROVER, frozenset({"*"})), "tenants"),
    "no agents": (replace(RUNTIME, agents=()), "agents"),
    "agents of an operator": (replace(OPERATOR, agents=("a",)), "agents"),
    "users of an operator": (replace(OPERATOR, user=UserAssertion.TOKEN), "agents"),
    "many wildcards": (replace(RUNTIME, agents=("*a" * 100,)), "agents[0]"),
    "an agent in two alphabets": (replace(RUNTIME, agents=("a", "\u0430dmin")), "agents[1]"),
}


@pytest.mark.parametrize("grant", RIGHT)
def test_a_right_grant_is_right_everywhere(grant: Grant) -> None:
    assert not list(grant_problems(grant))
    assert entry_of(grant).grant() == grant
    require_valid(NewToken("ci", (grant,)))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_grant_is_refused_everywhere_in_the_same_words(name: str) -> None:
    grant, field = WRONG[name]
    [(found, problem)] = grant_problems(grant)
    assert found == field
    with pytest.raises(InvalidRequestError) as refused:
        require_valid(NewToken("ci", (grant,), person="dana"))
    assert [(each.field, each.description) for each in refused.value.violations] == [(f"grants[0].{field}", problem)]
    if grant.tenants:  # the file says before that they are missing
        with pytest.raises(ValidationError, match=re.escape(problem)):
            entry_of(grant)


def entry_of(grant: Grant) -> GrantEntry:
    """Return the grant as it is written in the authentication file."""
    given = {"role": grant.role.value, "tenants": sorted(grant.tenants), "agents": list(grant.agents)}
    return GrantEntry.model_validate({**given, "user": grant.user.value})


def test_a_secret_in_a_grant_is_not_repeated() -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwx0123456789ABCDEFGH"  # noqa: S105 - made up
    for grant in (replace(OPERATOR, tenants=frozenset({secret})), replace(RUNTIME, agents=(secret,))):
        with pytest.raises(InvalidRequestError, match="holds an API key") as refused:
            require_valid(NewToken("ci", (grant,)))
        assert secret not in str(refused.value)


@pytest.mark.parametrize("tenant", ["acme", "a", "0-a_b", "a" * 64])
def test_tenants(tenant: str) -> None:
    assert is_tenant(tenant)
    assert not violations_of([tenant])
    assert tenant_or_nothing(tenant) == tenant
    assert not tenants_problem([tenant])


@pytest.mark.parametrize(
    "tenant", ["", "Acme", "_a", "-a", "a.b", "a" * 65, "a\n", "ä", "../a", "a/b", "*", "a\x1b[2J"]
)
def test_what_is_no_tenant(tenant: str) -> None:
    assert not is_tenant(tenant)
    assert violations_of([tenant])
    assert tenant_or_nothing(tenant) == ""
    assert tenant == "*" or tenants_problem([tenant])


def violations_of(tenants: Sequence[str]) -> list[str]:
    validator = RequestValidator()
    for tenant in tenants:
        validator.tenant("tenant", tenant)
    return [each.description for each in validator.violations]
