"""The grants of the authentication file: one role for callers that match, in the tenants that are named."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from placet.identity.model import EVERY_TENANT, MAY_HOLD_EVERY_TENANT, Grant, Role, UserAssertion, is_tenant
from placet.matching.globs import glob_error


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


OneOrMore = BeforeValidator(_as_list)
"""Makes a list of a single text."""
Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], OneOrMore]
"""One text, or several."""


class Part(BaseModel):
    """A table of the file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class GrantEntry(Part):
    """One role for callers that match, in the tenants that are named."""

    role: Role
    tenants: Texts = Field(min_length=1)
    agents: Texts = ()
    user: UserAssertion = UserAssertion.NEVER

    @field_validator("tenants")
    @classmethod
    def _check_tenants(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_tenants(value)

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


def checked_tenants(tenants: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tenants: names, or EVERY_TENANT alone. ValueError for others."""
    for tenant in tenants:
        if tenant != EVERY_TENANT and not is_tenant(tenant):
            raise ValueError(f'"{tenant}" is no tenant; write 1 to 64 of [a-z0-9_-], a letter or digit first')
    if EVERY_TENANT in tenants and len(tenants) > 1:
        raise ValueError('"*" covers every tenant; leave out the others, or "*"')
    return tenants
