"""The authentication file: which credentials the server accepts, and what each caller may do."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from placet.identity.model import EVERY_TENANT, MAY_HOLD_EVERY_TENANT, Grant, Role, UserAssertion
from placet.matching.globs import glob_error

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""The algorithms of JWTs that may be accepted: signatures with a public key. HMAC and ``none`` are not among them."""
LEEWAY_SECONDS_MAX: Final = 300
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


class Method(StrEnum):
    """A kind of credential."""

    TOKEN = "token"  # noqa: S105 - not a secret
    JWT = "jwt"
    CERTIFICATE = "certificate"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_list)]
"""One text, or several."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class GrantEntry(_Part):
    """One role for callers that match, in the tenants that are named."""

    role: Role
    tenants: Texts = Field(min_length=1)
    agents: Texts = ()
    user: UserAssertion = UserAssertion.NEVER

    @field_validator("tenants")
    @classmethod
    def _check_tenants(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for tenant in value:
            if tenant != EVERY_TENANT and not _TENANT.match(tenant):
                raise ValueError(f'"{tenant}" is no tenant; write 1 to 64 of [a-z0-9_-], a letter or digit first')
        if EVERY_TENANT in value and len(value) > 1:
            raise ValueError('"*" covers every tenant; leave out the others, or "*"')
        return value

    @field_validator("agents")
    @classmethod
    def _check_agents(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if error := glob_error(pattern):
                raise ValueError(f'"{pattern}" {error}')
        return value

    @model_validator(mode="after")
    def _check_role(self) -> Self:
        if EVERY_TENANT in self.tenants and self.role not in MAY_HOLD_EVERY_TENANT:
            raise ValueError(f'tenants: "*" is not for the role {self.role.value}; name its tenants')
        if self.role is Role.AGENT_RUNTIME:
            if not self.agents:
                raise ValueError('agents: is required for the role agent_runtime; name the agents, or ["*"] for all')
        elif self.agents or "user" in self.model_fields_set:
            raise ValueError(f"agents and user are for the role agent_runtime, not for {self.role.value}; remove them")
        return self

    def grant(self) -> Grant:
        """Return the grant."""
        return Grant(self.role, frozenset(self.tenants), self.agents, self.user)


class IssuerGrantEntry(GrantEntry):
    """A grant for callers whose token has the claims of `when`."""

    when: dict[str, str] = Field(default_factory=dict)
    """Claim -> value. A claim that is a list must contain the value. Empty: each caller of the issuer."""


class IssuerEntry(_Part):
    """An issuer of JWTs, for callers and for users."""

    issuer: str = Field(min_length=1)
    audience: Texts = Field(min_length=1)
    algorithms: Annotated[tuple[Literal[ALGORITHMS], ...], BeforeValidator(_as_list)] = Field(min_length=1)  # type: ignore[valid-type]
    jwks_url: str = ""
    jwks_file: Path | None = None
    leeway_seconds: int = Field(default=30, ge=0, le=LEEWAY_SECONDS_MAX)
    caller_claim: str = "sub"
    """The claim that names the caller within the issuer."""
    person_claim: str = ""
    """The claim by which people are identified across issuers, such as ``email``; empty: ``issuer|subject``."""
    person_verified_claim: str = ""
    """The claim that must be true for `person_claim` to count, such as ``email_verified``."""
    people: bool = False
    """Whether its subjects are people, who may vote. Programs need an entry with an audience of their own."""
    roles_claim: str = ""
    """The claim with the roles that policy names, such as ``groups``; empty: none."""
    tenants_claim: str = ""
    """The claim with the tenants of a user; empty: `user_tenants`."""
    user_tenants: Texts = ()
    grants: tuple[IssuerGrantEntry, ...] = ()


class CertificateEntry(_Part):
    """Clients whose certificate the listener's CAs signed and that match."""

    spiffe_id: str = ""
    subject: str = ""
    grants: tuple[GrantEntry, ...] = Field(min_length=1)


class AuthenticationDocument(_Part):
    """The whole file."""

    accept: tuple[Method, ...] = Field(min_length=1)
    issuers: tuple[IssuerEntry, ...] = ()
    certificates: tuple[CertificateEntry, ...] = ()
