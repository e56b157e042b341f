"""Principals: authenticated callers, and the grants that say what they may do."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.kernel.limits import TENANT_CHARS_MAX
from placet.matching.globs import glob_matches
from placet.matching.names import folded

if TYPE_CHECKING:
    from placet.kernel.model import Caller

EVERY_TENANT: Final = "*"
"""A grant's tenant that covers every tenant, and what belongs to none."""

SPIFFE: Final = "spiffe://"
"""Begins the caller id of a program with a client certificate, and no person's id."""
TENANT_FORM: Final = f"1 to {TENANT_CHARS_MAX} characters of [a-z0-9_-], a letter or digit first"
"""What the name of a tenant may be, in words."""
_TENANT: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{TENANT_CHARS_MAX - 1}}}\Z")


def is_tenant(text: str) -> bool:
    """Return whether the text can be the name of a tenant, wherever one is named. EVERY_TENANT cannot."""
    return bool(_TENANT.match(text))


class Role(StrEnum):
    """What a caller is to Placet. `placet.identity.access` lists the RPCs of each role."""

    AGENT_RUNTIME = "agent_runtime"
    TOOL_EXECUTOR = "tool_executor"
    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    POLICY_AUTHOR = "policy_author"
    ADMIN = "admin"


MAY_HOLD_EVERY_TENANT: Final = frozenset({Role.OPERATOR, Role.AUDITOR, Role.POLICY_AUTHOR, Role.ADMIN})
"""The roles that a grant may give for every tenant. A runtime or an approver belongs to tenants that are named."""


class UserAssertion(StrEnum):
    """How a runtime may say on whose behalf an agent acts."""

    TRUSTED = "trusted"
    """It names any user and roles, and Placet believes it."""
    TOKEN = "token"  # noqa: S105 - not a secret
    """The user's token says who the user is, and which roles the user has."""
    NEVER = "never"
    """Its agents act for no user."""


class Grant(Struct, frozen=True, gc=False):
    """One role of a caller, in the tenants that are named."""

    role: Role
    tenants: frozenset[str]
    """Tenants, or EVERY_TENANT alone."""
    agents: tuple[str, ...] = ()
    """Globs of agents that a runtime may name."""
    user: UserAssertion = UserAssertion.NEVER
    """How a runtime may name the user."""

    def covers(self, tenant: str) -> bool:
        """Return whether the grant holds for the tenant; "" for what belongs to no tenant."""
        return EVERY_TENANT in self.tenants or tenant in self.tenants

    def names_agent(self, agent: str) -> bool:
        """Return whether a runtime with this grant may name the agent. Spellings of one name are one agent."""
        return any(pattern == agent or glob_matches(folded(pattern), folded(agent)) for pattern in self.agents)


class Principal(Struct, frozen=True):
    """An authenticated caller."""

    caller: Caller
    grants: tuple[Grant, ...]
    person: str = ""
    """Id of the person whose credential it is, the same for each of the person's credentials. Empty for a program."""
    roles: frozenset[str] = frozenset()
    """Roles of the person in the organisation, such as ``support_lead``: what a policy names in approver_roles."""
    expires_at_us: int = 0
    """When the credential ends, in microseconds since 1970; 0 for never."""
    token_id: str = ""
    """Id of the access token, by which it is revoked; empty for another credential."""

    def grants_of(self, roles: frozenset[Role]) -> list[Grant]:
        """Return the grants of any of these roles."""
        return [grant for grant in self.grants if grant.role in roles]
