"""The authentication file: which credentials the server accepts, and what each caller may do."""

from __future__ import annotations

from enum import StrEnum
from itertools import combinations
from typing import Self

from pydantic import Field, model_validator

from placet.authentication.grants import GrantEntry, Part
from placet.authentication.issuers import IssuerEntry  # noqa: TC001 - pydantic resolves annotations


class Method(StrEnum):
    """A kind of credential."""

    TOKEN = "token"  # noqa: S105 - not a secret
    JWT = "jwt"
    CERTIFICATE = "certificate"


class CertificateEntry(Part):
    """Clients whose certificate the listener's CAs signed and that match."""

    spiffe_id: str = ""
    subject: str = ""
    grants: tuple[GrantEntry, ...] = Field(min_length=1)


class AuthenticationDocument(Part):
    """The whole file."""

    accept: tuple[Method, ...] = Field(min_length=1)
    """The credentials of callers. Users' tokens are accepted of every issuer that is for users."""
    issuers: tuple[IssuerEntry, ...] = ()
    certificates: tuple[CertificateEntry, ...] = ()

    @model_validator(mode="after")
    def _check_accepted_issuers(self) -> Self:
        for_callers = [index for index, entry in enumerate(self.issuers) if not entry.is_for_users]
        if Method.JWT in self.accept and not for_callers:
            raise ValueError('issuers: has no entry with grants; add one, or remove "jwt" from accept')
        if Method.JWT not in self.accept and for_callers:
            raise ValueError(f'issuers[{for_callers[0]}]: is not used; add "jwt" to accept, or remove the entry')
        return self

    @model_validator(mode="after")
    def _check_pairs_of_issuers(self) -> Self:
        for (first, one), (second, other) in combinations(enumerate(self.issuers), 2):
            if one.issuer != other.issuer:
                continue
            if common := sorted(set(one.audience) & set(other.audience)):
                raise ValueError(
                    f"issuers[{second}].audience: {', '.join(common)} of the same issuer is also in issuers[{first}]; "
                    "merge the entries, or let the provider issue tokens for different audiences"
                )
            for key in ("jwks_url", "jwks_file", "ca_file", "stale_keys_seconds"):
                if getattr(one, key) != getattr(other, key):
                    raise ValueError(
                        f"issuers[{second}].{key}: differs from issuers[{first}], which has the same issuer; write the "
                        "same in both"
                    )
            for key in ("person_claim", "person_verified_claim"):
                if _has_people(one) and _has_people(other) and getattr(one, key) != getattr(other, key):
                    raise ValueError(
                        f"issuers[{second}].{key}: differs from issuers[{first}], so that one person would be two; "
                        "write the same in both"
                    )
        return self


def _has_people(entry: IssuerEntry) -> bool:
    return entry.people or entry.is_for_users
