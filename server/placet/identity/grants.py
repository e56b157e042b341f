"""What a grant may say: one rule for the authentication file and for access tokens. Each adds its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.identity.model import EVERY_TENANT, MAY_HOLD_EVERY_TENANT, TENANT_FORM, Role, UserAssertion, is_tenant
from placet.matching.globs import glob_error
from placet.matching.names import name_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from placet.identity.model import Grant

_SHOWN: Final = 64
"""Characters of a wrong tenant that are shown."""


def grant_problems(grant: Grant) -> Iterator[tuple[str, str]]:
    """Yield the fields of a grant that are wrong, such as ``agents[0]``, each with what is wrong and what to write."""
    if problem := tenants_problem(grant.tenants):
        yield "tenants", problem
    elif EVERY_TENANT in grant.tenants and grant.role not in MAY_HOLD_EVERY_TENANT:
        yield "tenants", f'"*" is not for the role {grant.role}; name its tenants'
    if grant.role is not Role.AGENT_RUNTIME:
        if grant.agents or grant.user is not UserAssertion.NEVER:
            yield "agents", f"agents and user are for the role agent_runtime, not for {grant.role}; leave them out"
        return
    if not grant.agents:
        yield "agents", 'is required for the role agent_runtime; name the agents, or "*" for all'
    for index, pattern in enumerate(grant.agents):
        if problem := _agent_problem(pattern):
            yield f"agents[{index}]", problem


def tenants_problem(tenants: Collection[str]) -> str:
    """Return what is wrong with the tenants of a grant or user, names or EVERY_TENANT alone; empty when nothing is."""
    if not tenants:
        return "is required; name tenants"
    for tenant in sorted(tenants):
        if tenant != EVERY_TENANT and not is_tenant(tenant):
            return f"{tenant[:_SHOWN]!a} is no tenant; write {TENANT_FORM}"
    if EVERY_TENANT in tenants and len(tenants) > 1:
        return '"*" covers every tenant; leave out the others, or "*"'
    return ""


def _agent_problem(pattern: str) -> str:
    return (glob_error(pattern) or name_error(pattern)) if pattern else "is empty; leave it out"
