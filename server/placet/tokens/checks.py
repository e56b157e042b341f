"""Checks a request for an access token, the same for a call and for a command without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.identity.model import EVERY_TENANT, MAY_HOLD_EVERY_TENANT, Role, UserAssertion, is_tenant
from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import (
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    ROLES_MAX,
    TOKEN_GRANTS_MAX,
    TOKEN_TENANTS_MAX,
    TOKEN_TTL_SECONDS_MAX,
)
from placet.matching.globs import glob_error
from placet.matching.names import folded, name_error
from placet.privacy.id_secrets import secret_in_id
from placet.tokens.model import PROGRAM_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.identity.model import Grant
    from placet.tokens.model import NewToken

_DAY_SECONDS: Final = 86_400


def require_valid(new: NewToken) -> None:
    """Raise InvalidRequestError with all that is wrong with the request."""
    violations = [FieldViolation(field, text) for field, text in _problems(new) if text]
    if violations:
        raise InvalidRequestError(violations)


def _problems(new: NewToken) -> Iterator[tuple[str, str]]:
    """Yield fields, each with what is wrong; empty when nothing is."""
    yield "name", _name_problem(new.name, LABEL_BYTES_MAX) if new.name else "is required; say what the token is for"
    yield "person.id", _person_problem(new.person)
    if new.person_roles and not new.person:
        yield "person.roles", "are a person's; name the person, or leave them out"
    if len(new.person_roles) > ROLES_MAX:
        yield "person.roles", f"has {len(new.person_roles)} entries; at most {ROLES_MAX} are accepted"
    for index, role in enumerate(new.person_roles[:ROLES_MAX]):
        yield f"person.roles[{index}]", _name_problem(role, LABEL_BYTES_MAX) if role else "is empty; leave it out"
    if not 0 <= new.expires_after_seconds <= TOKEN_TTL_SECONDS_MAX:
        days = TOKEN_TTL_SECONDS_MAX // _DAY_SECONDS
        yield "expires_after_seconds", f"must be at most {TOKEN_TTL_SECONDS_MAX} ({days} days); every token expires"
    if not 1 <= len(new.grants) <= TOKEN_GRANTS_MAX:
        yield "grants", f"has {len(new.grants)} entries; 1 to {TOKEN_GRANTS_MAX} are accepted"
    for index, grant in enumerate(new.grants[:TOKEN_GRANTS_MAX]):
        yield from _grant_problems(f"grants[{index}].", grant)
        if grant.role is Role.APPROVER and not new.person:
            yield "person.id", "is required for the role approver: only people vote"


def _grant_problems(prefix: str, grant: Grant) -> Iterator[tuple[str, str]]:
    yield prefix + "tenants", _tenants_problem(grant)
    if grant.role is Role.AGENT_RUNTIME:
        if not 1 <= len(grant.agents) <= TOKEN_TENANTS_MAX:
            yield prefix + "agents", f"must name 1 to {TOKEN_TENANTS_MAX} agents for the role agent_runtime; * is all"
        for index, pattern in enumerate(grant.agents[:TOKEN_TENANTS_MAX]):
            yield f"{prefix}agents[{index}]", _pattern_problem(pattern)
    elif grant.agents or grant.user is not UserAssertion.NEVER:
        yield prefix + "agents", f"agents and user are for the role agent_runtime, not for {grant.role}; leave them out"


def _tenants_problem(grant: Grant) -> str:
    if not 1 <= len(grant.tenants) <= TOKEN_TENANTS_MAX:
        return f"has {len(grant.tenants)} entries; 1 to {TOKEN_TENANTS_MAX} are accepted"
    if EVERY_TENANT in grant.tenants:
        if len(grant.tenants) > 1:
            return '"*" covers every tenant; leave out the others, or "*"'
        return "" if grant.role in MAY_HOLD_EVERY_TENANT else f'"*" is not for the role {grant.role}; name its tenants'
    if any(not is_tenant(tenant) or secret_in_id(tenant) for tenant in grant.tenants):
        return "each must be 1 to 64 of [a-z0-9_-], a letter or digit first"
    return ""


def _person_problem(person: str) -> str:
    if folded(person).startswith(PROGRAM_PREFIX):
        return f"begins with {PROGRAM_PREFIX}, as the ids of programs do; write the person's id"
    return _name_problem(person, PRINCIPAL_BYTES_MAX)


def _pattern_problem(pattern: str) -> str:
    return (
        "is empty; leave it out" if not pattern else glob_error(pattern) or _name_problem(pattern, PRINCIPAL_BYTES_MAX)
    )


def _name_problem(name: str, bytes_max: int) -> str:
    if (size := len(name.encode(errors="replace"))) > bytes_max:
        return f"is {size} bytes; at most {bytes_max} are accepted"
    if kind := secret_in_id(name):
        return f"holds {kind}, and names are stored as they are; write a name without it"
    return name_error(name)
