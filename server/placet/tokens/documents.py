"""The stored rows of access tokens: one for each token, one for its last use, and one that counts the changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import structs

from placet.identity.model import Grant, Role, UserAssertion
from placet.kernel.state import Row, RowKey, StateTable
from placet.tokens.model import AccessToken

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTIVE: Final = "active"
REVOKED: Final = "revoked"
EXPIRED: Final = "expired"
"""The status of tokens that expired long ago, and are no longer listed."""
USED: Final = "used"
COUNTING: Final = "counting"
VERSION_KEY: Final = RowKey(StateTable.ACCESS_TOKENS, "", "version")
"""The row that changes with each change of a token. Who reads it knows whether the tokens are still the same."""


def token_key(token_id: str) -> RowKey:
    """Return the key of a token's row. It belongs to no tenant, because a token may have grants for several."""
    return RowKey(StateTable.ACCESS_TOKENS, "", token_id)


def use_key(token_id: str) -> RowKey:
    """Return the key of the row that says when a token was last used."""
    return RowKey(StateTable.TOKEN_USES, "", token_id)


def token_row(token: AccessToken) -> Row:
    """Return the row of a new token."""
    return Row(token_key(token.token_id), ACTIVE, token.created_at_us, orjson.dumps(_to_json(token)))


def ended_row(before: Row, status: str) -> Row:
    """Return the row of a token that is revoked or expired."""
    return structs.replace(before, status=status)


def counted_row(before: Row | None, now_us: int) -> Row:
    """Return the row that counts one more change."""
    return before or Row(VERSION_KEY, COUNTING, now_us, b"{}")


def use_row(token_id: str, used_at_us: int, before: Row | None) -> Row:
    """Return the row of a token's last use."""
    row = before or Row(use_key(token_id), USED, used_at_us, b"")
    return structs.replace(row, body=orjson.dumps({"used_at_us": used_at_us}))


def read_token(row: Row) -> AccessToken:
    """Return the token of a row."""
    body = orjson.loads(row.body)
    grants = tuple(map(_read_grant, body.pop("grants")))
    return AccessToken(**{**body, "person_roles": tuple(body["person_roles"])}, grants=grants)


def read_use(row: Row | None) -> int:
    """Return when a token was last used, in microseconds since 1970; 0 for never."""
    return int(orjson.loads(row.body)["used_at_us"]) if row is not None else 0


def grants_to_json(grants: tuple[Grant, ...]) -> list[dict[str, Any]]:
    """Return grants as they are stored and recorded."""
    return [
        {
            "role": grant.role.value,
            "tenants": sorted(grant.tenants),
            "agents": list(grant.agents),
            "user": grant.user.value,
        }
        for grant in grants
    ]


def _to_json(token: AccessToken) -> dict[str, Any]:
    return {**structs.asdict(token), "grants": grants_to_json(token.grants)}


def _read_grant(entry: Mapping[str, Any]) -> Grant:
    return Grant(Role(entry["role"]), frozenset(entry["tenants"]), tuple(entry["agents"]), UserAssertion(entry["user"]))
