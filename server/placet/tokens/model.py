"""Access tokens: what each may do, and whose it is."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.identity.model import EVERY_TENANT, Principal
from placet.kernel.limits import TOKENS_MAX
from placet.kernel.model import Caller
from placet.matching.names import folded

if TYPE_CHECKING:
    from placet.identity.model import Grant

METHOD: Final = "token"
"""`Caller.method` of a caller that presents an access token."""
PROGRAM_PREFIX: Final = "token:"
"""Begins the caller id of a program. No person's id begins with it, so that no program passes for a person."""
TENANTS_END: Final = "/"
"""Ends the tenants in the caller id of a program. Names of programs have none, so that no name passes for tenants."""
_TENANTS_SHOWN_CHARS: Final = 64
"""A longer list of tenants is shown as its digest."""
_DIGEST_CHARS: Final = 16


class NewToken(Struct, frozen=True):
    """A request for an access token. See `AccessToken` for the fields."""

    name: str
    grants: tuple[Grant, ...]
    person: str = ""
    person_roles: tuple[str, ...] = ()
    expires_after_seconds: int = 0
    """0 for the default."""


class AccessToken(Struct, frozen=True):
    """An access token, without its text."""

    token_id: str
    """``tok_`` and 16 hex digits."""
    name: str
    """What the token is for. Programs are known by it and by their tenants: see `caller_id`."""
    digest: str
    """SHA-256 of the text, in hex. Never leaves the server."""
    grants: tuple[Grant, ...]
    person: str
    """Folded id of the person whose credential it is; empty for a program."""
    person_roles: tuple[str, ...]
    """The person's roles in the organisation, sorted and distinct."""
    created_by: str
    created_at_us: int
    expires_at_us: int

    @property
    def tenant(self) -> str:
        """The tenant that the token belongs to: that of all its grants; empty when they name several or every one."""
        return only_tenant(self.grants)

    @property
    def owner(self) -> str:
        """The tenants whose admins can create such a token, as in the id of a program."""
        return owner_of(self.grants)

    @property
    def caller_id(self) -> str:
        """Id of the caller: the same for each token of one person, or of one program.

        A program is known by its name and its tenants, ``token:acme/ci``, so that programs of two tenants never have
        one id. A program with a grant for every tenant is ``token:ci``.
        """
        return self.person or PROGRAM_PREFIX + self.owner + folded(self.name)

    def expired(self, now_us: int) -> bool:
        """Return whether the token is no longer valid."""
        return self.expires_at_us <= now_us

    def principal(self, peer: str) -> Principal:
        """Return the caller that presents the token over a connection from `peer`."""
        owner = self.owner
        name = self.person or PROGRAM_PREFIX + owner + folded(self.name)
        return Principal(
            Caller(name, peer, METHOD, is_program=not self.person, person=self.person, owner=owner),
            self.grants,
            self.person,
            frozenset(self.person_roles),
            self.expires_at_us,
            self.token_id,
        )


def owner_of(grants: tuple[Grant, ...]) -> str:
    """Return the tenants of the grants as one text, such as ``acme/`` or ``acme+globex/``; empty for every tenant.

    Only an admin of all of them can create a token with these grants.
    """
    return _owner(grants[0].tenants if len(grants) == 1 else _all_tenants(grants))


@lru_cache(maxsize=TOKENS_MAX)
def _owner(tenants: frozenset[str]) -> str:
    if EVERY_TENANT in tenants:
        return ""
    names = "+".join(sorted(tenants))
    if len(names) > _TENANTS_SHOWN_CHARS:
        names = f"#{hashlib.sha256(names.encode()).hexdigest()[:_DIGEST_CHARS]}"
    return names + TENANTS_END


def _all_tenants(grants: tuple[Grant, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(grant.tenants for grant in grants))


def only_tenant(grants: tuple[Grant, ...]) -> str:
    """Return the tenant that all grants name; empty when they name several or every one."""
    tenants = _all_tenants(grants)
    [tenant] = tenants if len(tenants) == 1 else {EVERY_TENANT}
    return "" if tenant == EVERY_TENANT else tenant
