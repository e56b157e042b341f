"""Access tokens: credentials that Placet creates and revokes. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from placet.sdk.approvals import Person


class CallerRole(StrEnum):
    """The role of a caller: which calls it may make."""

    AGENT_RUNTIME = "agent_runtime"
    TOOL_EXECUTOR = "tool_executor"
    APPROVER = "approver"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    POLICY_AUTHOR = "policy_author"
    ADMIN = "admin"


class UserAssertion(StrEnum):
    """How an agent runtime may name the user on whose behalf an agent acts."""

    TRUSTED = "trusted"
    """It names any user and roles, and Placet believes it."""
    TOKEN = "token"  # noqa: S105 - not a secret
    """The user's own token says who the user is."""
    NEVER = "never"
    """Its agents act for no user."""


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """One role, in the tenants that are named."""

    role: CallerRole
    tenants: Sequence[str]
    """At most 64. ``["*"]`` is every tenant: only for OPERATOR, AUDITOR, POLICY_AUTHOR and ADMIN."""
    agents: Sequence[str] = ()
    """Agents that an AGENT_RUNTIME may name, at most 64; ``*`` matches any characters. Empty for other roles."""
    user: UserAssertion = UserAssertion.NEVER
    """How an AGENT_RUNTIME may name users."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token, without its text."""

    id: str
    name: str
    """What the token is for. Programs are known by it."""
    person: Person | None
    """The person whose credential it is; None for a program."""
    grants: tuple[TokenGrant, ...]
    created_by: str
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    """When it was last used, to the hour; None if it was not used yet."""
    expired: bool


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A token that was created."""

    token: AccessToken
    secret: str = field(repr=False)
    """Its text, which its bearer presents. It is stored nowhere."""
