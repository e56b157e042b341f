"""Access tokens: what each may do, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.identity.model import EVERY_TENANT, Principal
from placet.kernel.model import Caller
from placet.matching.names import folded

if TYPE_CHECKING:
    from placet.identity.model import Grant

METHOD: Final = "token"
"""`Caller.method` of a caller that presents an access token."""
PROGRAM_PREFIX: Final = "token:"
"""Begins the caller id of a program. No person's id begins with it, so that no program passes for a person."""


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
    """What the token is for. Programs are known by it: tokens of one name are credentials of one program."""
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
    def caller_id(self) -> str:
        """Id of the caller: the same for each token of one person, or of one program."""
        return self.person or PROGRAM_PREFIX + folded(self.name)

    def expired(self, now_us: int) -> bool:
        """Return whether the token is no longer valid."""
        return self.expires_at_us <= now_us

    def principal(self, peer: str) -> Principal:
        """Return the caller that presents the token over a connection from `peer`."""
        return Principal(
            Caller(self.caller_id, peer, METHOD, is_program=not self.person, person=self.person),
            self.grants,
            self.person,
            frozenset(self.person_roles),
            self.expires_at_us,
            self.token_id,
        )


def only_tenant(grants: tuple[Grant, ...]) -> str:
    """Return the tenant that all grants name; empty when they name several or every one."""
    tenants = frozenset[str]().union(*(grant.tenants for grant in grants))
    [tenant] = tenants if len(tenants) == 1 else {EVERY_TENANT}
    return "" if tenant == EVERY_TENANT else tenant
