"""Checks a request for an access token, the same for a call and for a command without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.identity.grants import grant_problems
from placet.identity.model import SPIFFE, Role
from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import (
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    ROLES_MAX,
    TOKEN_GRANTS_MAX,
    TOKEN_TENANTS_MAX,
    TOKEN_TTL_SECONDS_MAX,
)
from placet.matching.names import folded, name_error
from placet.privacy.id_secrets import secret_in_id
from placet.tokens.model import PROGRAM_PREFIX, TENANTS_END

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
    if not new.person and TENANTS_END in folded(new.name):
        yield "name", f'has a "{TENANTS_END}", which ends the tenants in the id of a program; write the name without it'
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
    """Yield what is wrong with a grant. What cannot be stored comes first, so that no other text repeats it."""
    problems = list(_stored_problems(grant)) or list(grant_problems(grant))
    yield from ((prefix + field, problem) for field, problem in problems)


def _stored_problems(grant: Grant) -> Iterator[tuple[str, str]]:
    for field, values in (("tenants", grant.tenants), ("agents", grant.agents)):
        if len(values) > TOKEN_TENANTS_MAX:
            yield field, f"has {len(values)} entries; at most {TOKEN_TENANTS_MAX} are accepted"
            continue
        for problem in filter(None, (_stored_problem(value, PRINCIPAL_BYTES_MAX) for value in values)):
            yield field, problem


def _person_problem(person: str) -> str:
    for prefix in (PROGRAM_PREFIX, SPIFFE):
        if folded(person).startswith(prefix):
            return f"begins with {prefix}, as the ids of programs do; write the person's id"
    return _name_problem(person, PRINCIPAL_BYTES_MAX)


def _name_problem(name: str, bytes_max: int) -> str:
    return _stored_problem(name, bytes_max) or name_error(name)


def _stored_problem(text: str, bytes_max: int) -> str:
    """Return why a text cannot be stored and recorded as it is; empty when it can."""
    if (size := len(text.encode(errors="replace"))) > bytes_max:
        return f"is {size} bytes; at most {bytes_max} are accepted"
    if kind := secret_in_id(text):
        return f"holds {kind}, and names are stored as they are; write a name without it"
    return ""
