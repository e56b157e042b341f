"""The authentication file: which credentials the server accepts, and what each caller may do."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import combinations
from typing import Final, Self

from pydantic import Field, model_validator

from placet.authentication.grants import GrantEntry, Part
from placet.authentication.issuers import IssuerEntry  # noqa: TC001 - pydantic resolves annotations
from placet.authentication.people import people_problems
from placet.matching.globs import glob_error

_SPIFFE_ID: Final = re.compile(r"spiffe://[a-z0-9._-]+/[^\s]+\Z")


class Method(StrEnum):
    """A kind of credential."""

    TOKEN = "token"  # noqa: S105 - not a secret
    JWT = "jwt"
    CERTIFICATE = "certificate"


class CertificateEntry(Part):
    """Clients whose certificate the listener's CAs signed and that match."""

    spiffe_id: str = ""
    """The SPIFFE id, or a glob of its path: ``spiffe://example.org/ns/agents/sa/*``."""
    subject: str = ""
    """The whole subject as RFC 4514 writes it, such as ``CN=refund-agent,O=Example``."""
    grants: tuple[GrantEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_match(self) -> Self:
        if bool(self.spiffe_id) == bool(self.subject):
            raise ValueError("one of spiffe_id and subject is required, and only one")
        if self.spiffe_id and not _SPIFFE_ID.match(self.spiffe_id):
            raise ValueError("spiffe_id: must be spiffe://<trust domain>/<path>; only the path may contain * and ?")
        if error := glob_error(self.spiffe_id):
            raise ValueError(f"spiffe_id: {error}")
        return self


class AuthenticationDocument(Part):
    """The whole file."""

    accept: tuple[Method, ...] = Field(min_length=1)
    """The credentials of callers. Users' tokens are accepted of every issuer that is for users."""
    issuers: tuple[IssuerEntry, ...] = ()
    certificates: tuple[CertificateEntry, ...] = ()

    @model_validator(mode="after")
    def _check_accepted_issuers(self) -> Self:
        for_callers = [index for index, entry in enumerate(self.issuers) if entry.grants]
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
            keys = ("person_claim", "person_verified_claim") if one.person_claim else ("person_claim", "caller_claim")
            for key in keys:
                if _has_people(one) and _has_people(other) and getattr(one, key) != getattr(other, key):
                    raise ValueError(
                        f"issuers[{second}].{key}: differs from issuers[{first}], so that one person would be two; "
                        "write the same in both"
                    )
        return self

    @model_validator(mode="after")
    def _check_people(self) -> Self:
        for problem in people_problems(self.issuers):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _check_accepted_certificates(self) -> Self:
        if Method.CERTIFICATE in self.accept and not self.certificates:
            raise ValueError('certificates: has no entry; add one, or remove "certificate" from accept')
        if Method.CERTIFICATE not in self.accept and self.certificates:
            raise ValueError('certificates: are not used; add "certificate" to accept, or remove them')
        return self


def _has_people(entry: IssuerEntry) -> bool:
    return entry.people or entry.is_for_users
