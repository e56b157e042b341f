"""The issuers of the authentication file: whose JWTs are believed, and what their claims mean."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic resolves annotations
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from placet.authentication.grants import GrantEntry, OneOrMore, Part, Texts, checked_tenants
from placet.authentication.urls import url_error
from placet.identity.model import Role
from placet.kernel.limits import ISSUER_KEYS_REFRESH_SECONDS
from placet.matching.globs import glob_error, glob_matches
from placet.matching.names import folded

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""The algorithms of JWTs that may be accepted: signatures with a public key. HMAC and ``none`` are not among them."""
LEEWAY_SECONDS_MAX: Final = 300
ISSUER_CHARS_MAX: Final = 160
"""Longer than the issuers of the usual providers. With its subject it must fit into the id of a caller."""
STALE_KEYS_SECONDS_DEFAULT: Final = 86_400
"""A day: longer than an outage of a provider, shorter than the life of most of its keys."""
STALE_KEYS_SECONDS_MIN: Final = 2 * ISSUER_KEYS_REFRESH_SECONDS
STALE_KEYS_SECONDS_MAX: Final = 604_800
SEPARATOR: Final = "|"
"""Between issuer and subject in an id."""
_SELF_DECLARED: Final = frozenset({"email", "preferred_username", "upn", "phone_number", "name", "nickname"})
"""Claims that providers let users change, so they count only if another claim says that they were verified."""

ClaimValues = dict[str, str]
"""Claim -> value. A claim that is a list must contain the value; so must ``scope`` and ``scp``, separated by blanks."""


class IssuerGrantEntry(GrantEntry):
    """A grant for callers whose token has the claims of `when`."""

    when: ClaimValues = Field(default_factory=dict)
    """Empty: each caller of the issuer."""


class IssuerEntry(Part):
    """Tokens of one issuer for one audience: of callers, if it has grants, or of users, if it says their tenants.

    One entry is never for both. A runtime holds its users' tokens, and could otherwise call with them as its users.
    """

    issuer: str = Field(min_length=1, max_length=ISSUER_CHARS_MAX)
    audience: Texts = Field(min_length=1)
    algorithms: Annotated[tuple[Literal[ALGORITHMS], ...], OneOrMore] = Field(min_length=1)  # type: ignore[valid-type]
    jwks_url: str = ""
    """Where the issuer publishes its keys. Empty, without a `jwks_file`: as its discovery document says."""
    jwks_file: Path | None = None
    ca_file: Path | None = None
    """The CA certificates in PEM that sign the provider's certificate; empty: those of the system."""
    stale_keys_seconds: int = Field(
        default=STALE_KEYS_SECONDS_DEFAULT, ge=STALE_KEYS_SECONDS_MIN, le=STALE_KEYS_SECONDS_MAX
    )
    """How long the last keys count while newer ones cannot be read."""
    leeway_seconds: int = Field(default=30, ge=0, le=LEEWAY_SECONDS_MAX)
    caller_claim: str = Field(default="sub", min_length=1)
    """The claim that names the subject within the issuer."""
    person_claim: str = ""
    """The claim by which people are identified across issuers, such as ``email``; empty: ``issuer|subject``."""
    person_verified_claim: str = ""
    """The claim that must be true for `person_claim` to count, such as ``email_verified``."""
    people: bool = False
    """Whether callers are people, who may vote. Tokens that say that they are a program's are not."""
    people_when: ClaimValues = Field(default_factory=dict)
    """The claims that tell a person from a program, where the tokens of both have this audience."""
    roles_claim: str = ""
    """The claim with the roles that policy names, such as ``groups``; empty: none."""
    tenants_claim: str = ""
    """The claim with the tenants of a user; empty: `user_tenants`."""
    user_tenants: Texts = ()
    delegators: Texts = ()
    """Globs of the principals for whom its tokens may sign hops of a delegation; with it, the entry is for nothing
    else."""
    grants: tuple[IssuerGrantEntry, ...] = ()

    @property
    def is_for_users(self) -> bool:
        """Whether its tokens say who the user of an action is, and not who calls."""
        return bool(self.tenants_claim or self.user_tenants) and not self.delegators

    @property
    def is_for_delegation(self) -> bool:
        """Whether its tokens are hops of a delegation, and neither credentials of callers nor of users."""
        return bool(self.delegators)

    def may_delegate_for(self, principal: str) -> bool:
        """Return whether its tokens may sign hops of the principal. Spellings of one name are one principal."""
        return any(glob_matches(folded(pattern), folded(principal)) for pattern in self.delegators)

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        if SEPARATOR in value or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError(f'must be printable ASCII without blanks and "{SEPARATOR}", as the claim iss has it')
        return value

    @field_validator("jwks_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and (error := url_error(value)):
            raise ValueError(error)
        return value

    @field_validator("user_tenants")
    @classmethod
    def _check_tenants(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_tenants(value)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.jwks_url and self.jwks_file:
            raise ValueError("jwks_url and jwks_file exclude each other; remove one")
        if self.jwks_file and self.ca_file:
            raise ValueError("ca_file: is for keys that are fetched, and jwks_file is a file; remove one")
        if not self.jwks_url and not self.jwks_file and (error := url_error(self.issuer)):
            raise ValueError(f"issuer: {error}; or say where its keys are with jwks_url or jwks_file")
        return self

    @model_validator(mode="after")
    def _check_use(self) -> Self:
        if self.tenants_claim and self.user_tenants:
            raise ValueError("tenants_claim and user_tenants exclude each other; remove one")
        if self.grants and self.is_for_users:
            raise ValueError(
                "grants: are for callers, and tenants_claim and user_tenants for users; write two entries with "
                "different audiences, so that a runtime cannot call with the token of its user"
            )
        if self.is_for_delegation:
            return self._check_delegation()
        if not self.grants and not self.is_for_users:
            raise ValueError("grants: are missing; add some for callers, or tenants_claim or user_tenants for users")
        return self

    def _check_delegation(self) -> Self:
        if self.grants:
            raise ValueError("delegators and grants exclude each other; write two entries with different audiences")
        if not (self.tenants_claim or self.user_tenants):
            raise ValueError("delegators: need tenants_claim or user_tenants, which name the tenants of a hop")
        for pattern in self.delegators:
            if error := glob_error(pattern):
                raise ValueError(f'delegators: "{pattern}" {error}')
        return self

    @model_validator(mode="after")
    def _check_people(self) -> Self:
        if self.person_verified_claim and not self.person_claim:
            raise ValueError("person_verified_claim: needs a person_claim; add it, or remove this key")
        if self.person_claim in _SELF_DECLARED and not self.person_verified_claim:
            raise ValueError(
                f"person_verified_claim: is required, because users of some providers choose their {self.person_claim} "
                'themselves; write for example "email_verified", or identify people by issuer and subject'
            )
        if self.is_for_users:
            return self
        if self.is_for_delegation and not self.people and self.person_claim:
            raise ValueError("people: must be true for person_claim; set it, or remove that key")
        if (self.people_when or self.person_claim) and not self.people:
            raise ValueError("people: must be true for people_when and person_claim; set it, or remove them")
        if not self.people and any(grant.role is Role.APPROVER for grant in self.grants):
            raise ValueError("people: must be true for the role approver, because only people may vote")
        return self
