"""Access tokens as JSON documents and as tables. None has the text of a token or its hash."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from placet import sdk
from placet.cli.rendering.documents import time_text

if TYPE_CHECKING:
    from placet.tokens.service import Listed

COLUMNS: Final = ("id", "name", "person", "grants", "expires_at", "last_used_at", "created_by")


def token_document(token: sdk.AccessToken) -> dict[str, Any]:
    """Return a token with all its fields."""
    return {
        "id": token.id,
        "name": token.name,
        "person": token.person.id if token.person is not None else "",
        "person_roles": list(token.person.roles) if token.person is not None else [],
        "grants": [
            {
                "role": grant.role.value,
                "tenants": list(grant.tenants),
                "agents": list(grant.agents),
                "user": grant.user.value,
            }
            for grant in token.grants
        ],
        "created_by": token.created_by,
        "created_at": time_text(token.created_at),
        "expires_at": time_text(token.expires_at),
        "last_used_at": time_text(token.last_used_at),
        "expired": token.expired,
    }


def token_row(token: sdk.AccessToken) -> tuple[str, ...]:
    """Return a row for a token: COLUMNS."""
    document = token_document(token)
    document["grants"] = "; ".join(f"{grant.role.value} in {', '.join(grant.tenants)}" for grant in token.grants)
    document["expires_at"] += " (expired)" if token.expired else ""
    return tuple(document[name] for name in COLUMNS)


def stored_token(listed: Listed, now_us: int) -> sdk.AccessToken:
    """Return a token as a server would: for commands that read the database."""
    token = listed.token
    return sdk.AccessToken(
        id=token.token_id,
        name=token.name,
        person=sdk.Person(token.person, token.person_roles) if token.person else None,
        grants=tuple(
            sdk.TokenGrant(
                sdk.CallerRole(grant.role), sorted(grant.tenants), grant.agents, sdk.UserAssertion(grant.user)
            )
            for grant in token.grants
        ),
        created_by=token.created_by,
        created_at=_time(token.created_at_us),
        expires_at=_time(token.expires_at_us),
        last_used_at=_time(listed.used_at_us),
        expired=token.expired(now_us),
    )


def _time(time_us: int) -> datetime | None:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC) if time_us else None
