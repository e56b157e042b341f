"""Decides what an authenticated caller may call, and whom it may name. Each refusal is a PermissionDeniedError."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.identity.access import TenantUse
from placet.identity.delegation import DELEGATION_MISMATCH, DELEGATION_OF_ANOTHER_TENANT
from placet.identity.model import EVERY_TENANT, Role, UserAssertion
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.limits import TENANT_CHARS_MAX
from placet.matching.person import Person, same_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from placet.identity.access import Access
    from placet.identity.model import Grant, Principal
    from placet.identity.ports import User

ROLE_NOT_GRANTED: Final = "ROLE_NOT_GRANTED"
TENANT_NOT_GRANTED: Final = "TENANT_NOT_GRANTED"
AGENT_NOT_GRANTED: Final = "AGENT_NOT_GRANTED"
USER_NOT_GRANTED: Final = "USER_NOT_GRANTED"
USER_TOKEN_REQUIRED: Final = "USER_TOKEN_REQUIRED"  # noqa: S105 - a reason
USER_MISMATCH: Final = "USER_MISMATCH"
USER_OF_ANOTHER_TENANT: Final = "USER_OF_ANOTHER_TENANT"
PERSON_MISMATCH: Final = "PERSON_MISMATCH"
PERSON_REQUIRED: Final = "PERSON_REQUIRED"
REPORTER_NOT_EXECUTOR: Final = "REPORTER_NOT_EXECUTOR"
PERMIT_NOT_ACCEPTED: Final = "PERMIT_NOT_ACCEPTED"
ACCESS_REASONS: Final = frozenset(
    {
        ROLE_NOT_GRANTED,
        TENANT_NOT_GRANTED,
        AGENT_NOT_GRANTED,
        USER_NOT_GRANTED,
        USER_TOKEN_REQUIRED,
        USER_MISMATCH,
        USER_OF_ANOTHER_TENANT,
        DELEGATION_MISMATCH,
        DELEGATION_OF_ANOTHER_TENANT,
        PERSON_MISMATCH,
        PERSON_REQUIRED,
        REPORTER_NOT_EXECUTOR,
        PERMIT_NOT_ACCEPTED,
    }
)
"""Every reason why a caller may not make a call, whatever the state is."""
_RUNTIME: Final = frozenset({Role.AGENT_RUNTIME})
_EXECUTOR: Final = frozenset({Role.TOOL_EXECUTOR})
_VOTERS: Final = frozenset({Role.APPROVER})


def require_access(principal: Principal, access: Access, tenants: Iterable[str]) -> None:
    """Raise unless the caller may call the method for each tenant that the request names; "" where it names none."""
    grants = principal.grants_of(access.roles)
    if not grants:
        roles = ", ".join(sorted(access.roles))
        raise PermissionDeniedError(ROLE_NOT_GRANTED, f"the caller has none of the roles that may call this: {roles}")
    match access.tenant:
        case TenantUse.NONE:
            return
        case TenantUse.EVERY:
            tenants = (EVERY_TENANT,)
        case TenantUse.REQUIRED:
            tenants = (tenant for tenant in tenants if tenant)  # a request without its tenant is refused as invalid
        case TenantUse.OPTIONAL:
            tenants = (tenant or EVERY_TENANT for tenant in tenants)
    for tenant in tenants:
        if not any(grant.covers(tenant) for grant in grants):
            raise PermissionDeniedError(TENANT_NOT_GRANTED, _no_tenant(tenant))


def sees(principal: Principal | None, access: Access, tenant: str) -> bool:
    """Return whether the answer of a method may show the caller what belongs to the tenant.

    EVERY_TENANT for what may belong to any. `principal` is None where callers are not authenticated.
    """
    return principal is None or any(grant.covers(tenant) for grant in principal.grants_of(access.roles))


def is_executor(principal: Principal | None, tenant: str) -> bool:
    """Return whether the caller executes tools of the tenant; False if callers are not authenticated."""
    return principal is not None and any(grant.covers(tenant) for grant in principal.grants_of(_EXECUTOR))


def may_watch(principal: Principal | None, tenant: str, caller: str, agent: str) -> bool:
    """Return whether the caller may watch the changes of a decision.

    `caller` asked for the decision, about an action of `agent`. An executor watches all of its tenants; a runtime those
    that it asked for, and those about agents that it may name.
    """
    if principal is None or is_executor(principal, tenant) or caller == principal.caller.name:
        return True
    return any(grant.covers(tenant) and grant.names_agent(agent) for grant in principal.grants_of(_RUNTIME))


def resolved_user(
    principal: Principal, tenant: str, agent: str, user: str, roles: Sequence[str], proven: User | None
) -> tuple[str, Sequence[str]]:
    """Return the user and roles on whose behalf the agent acts. Raises unless the caller may name agent and user.

    `user` and `roles` are as the request names them; `proven` is the user of its user token, None for no token.
    """
    if not (tenant and agent):
        return user, roles  # the request is refused as invalid
    grants = [grant for grant in principal.grants_of(_RUNTIME) if grant.covers(tenant)]
    grants = [grant for grant in grants if grant.names_agent(agent)]
    if not grants:
        raise PermissionDeniedError(
            AGENT_NOT_GRANTED, "identity.agent: the caller may not name this agent; add it to the agents of its grant"
        )
    if proven is not None:
        if all(grant.user is UserAssertion.NEVER for grant in grants):
            _refuse_user(grants)
        return _proven_user(proven, tenant, user, roles)
    if (user or roles) and not _trusted(grants):
        _refuse_user(grants)
    return user, roles


def person_of(principal: Principal, access: Access, named: str) -> Person:
    """Return the person who calls. Raises if the request names another one, or if a program calls to vote.

    `named` is the id of the person in the request; empty when it names none.
    """
    if not principal.person and access.roles == _VOTERS:
        raise PermissionDeniedError(
            PERSON_REQUIRED, "only a person may vote, and the credential is a program's; use the person's credential"
        )
    person = principal.person or principal.caller.name
    if named and not same_person(named, person):
        raise PermissionDeniedError(
            PERSON_MISMATCH, f"{access.person}.id: is not the person who calls; leave it out, or name yourself"
        )
    return Person(person, tuple(sorted(principal.roles)))


def _proven_user(proven: User, tenant: str, user: str, roles: Sequence[str]) -> tuple[str, Sequence[str]]:
    if EVERY_TENANT not in proven.tenants and tenant not in proven.tenants:
        raise PermissionDeniedError(
            USER_OF_ANOTHER_TENANT, "identity.user_token is of a user who does not belong to this tenant"
        )
    if user and not same_person(user, proven.person):
        raise PermissionDeniedError(USER_MISMATCH, "identity.user: is not the user of user_token; leave it out")
    if set(roles) - set(proven.roles):
        raise PermissionDeniedError(USER_MISMATCH, "identity.roles: the user of user_token lacks some; leave them out")
    return proven.person, proven.roles


def _trusted(grants: Sequence[Grant]) -> bool:
    return any(grant.user is UserAssertion.TRUSTED for grant in grants)


def _refuse_user(grants: Sequence[Grant]) -> None:
    if any(grant.user is UserAssertion.TOKEN for grant in grants):
        raise PermissionDeniedError(
            USER_TOKEN_REQUIRED, "identity.user: the caller must prove the user; send the user's token in user_token"
        )
    raise PermissionDeniedError(
        USER_NOT_GRANTED, "identity.user: the caller's agents may act for no user; leave out user, roles and user_token"
    )


def _no_tenant(tenant: str) -> str:
    if tenant == EVERY_TENANT:
        return 'the request concerns every tenant, and the caller has no grant for "*"; name a tenant'
    return f"the caller has no grant for the tenant {tenant[:TENANT_CHARS_MAX]!a}"
