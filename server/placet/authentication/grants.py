"""The grants of the authentication file: one role for callers that match, in the tenants that are named."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from placet.identity.grants import grant_problems, tenants_problem
from placet.identity.model import Grant, Role, UserAssertion


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

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field, problem in grant_problems(self.grant()):
            raise ValueError(f"{field}: {problem}")
        return self

    def grant(self) -> Grant:
        """Return the grant."""
        return Grant(self.role, frozenset(self.tenants), self.agents, self.user)


def checked_tenants(tenants: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tenants of users: names, or EVERY_TENANT alone; () for none. ValueError for others."""
    if tenants and (problem := tenants_problem(tenants)):
        raise ValueError(problem)
    return tenants
