"""The use cases of access tokens: create, list, revoke. They need only the ledger."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.commands.execute import Plan
from placet.commands.four_eyes import ChangeCommand, ChangeKind
from placet.commands.row_pages import rows_of
from placet.kernel.errors import FailedPreconditionError, NotFoundError
from placet.kernel.limits import TOKEN_TTL_SECONDS_DEFAULT, TOKENS_MAX
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.reasons import REFUSALS, TOKENS_FULL
from placet.kernel.state import PutIfVersion, ReadSet, StateTable
from placet.matching.names import folded
from placet.privacy.redaction import redact_text
from placet.tokens.checks import require_valid
from placet.tokens.documents import (
    ACTIVE,
    EXPIRED,
    REVOKED,
    VERSION_KEY,
    counted_row,
    ended_row,
    read_token,
    read_use,
    token_key,
    token_row,
    use_key,
)
from placet.tokens.model import AccessToken, NewToken, only_tenant
from placet.tokens.records import token_created, token_revoked
from placet.tokens.secret import digest_of, new_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.commands.execute import ControlCommands
    from placet.kernel.state import Row

ENDED_TOGETHER: Final = 100
"""The most expired tokens that one change marks as expired."""
EXPIRED_LISTED_US: Final = 30 * 86_400 * 1_000_000
"""How long an expired token stays in the list: 30 days, so that people see why a program stopped."""
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A token that was not revoked."""

    token: AccessToken
    used_at_us: int
    """When it was last used, to the hour; 0 for never."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The use cases. Each method raises LedgerUnavailableError when the ledger cannot be read or written.

    `known_everywhere` returns when every process that verifies tokens knows the last commit.
    """

    commands: ControlCommands
    known_everywhere: Callable[[], Awaitable[None]]

    async def create(self, new: NewToken, actor: str, caller: Caller = UNAUTHENTICATED) -> tuple[str, AccessToken]:
        """Create a token, and return its text, which is stored nowhere. When this returns, every replica accepts it.

        Raises InvalidRequestError, and FailedPreconditionError when there are TOKENS_MAX tokens.
        """
        require_valid(new)
        text, token_id = new_token(), f"tok_{secrets.token_hex(8)}"
        command = ChangeCommand(ChangeKind.TOKEN_CREATE, only_tenant(new.grants), token_id, new.name, actor, "", caller)
        token = await self.commands.execute(command, lambda now_us: self._create(new, text, command, now_us))
        await self.known_everywhere()
        return text, token

    async def revoke(
        self, token_id: str, tenant: str, actor: str, reason: str, caller: Caller = UNAUTHENTICATED
    ) -> AccessToken:
        """Revoke a token. When this returns, no replica accepts it.

        `tenant` is the tenant that the token belongs to; empty finds every token. Raises NotFoundError when there is
        no such token, or when it was revoked before.
        """
        command = ChangeCommand(ChangeKind.TOKEN_REVOKE, tenant, token_id, "", actor, redact_text(reason), caller)
        token = await self.commands.execute(command, lambda now_us: self._revoke(command, now_us))
        await self.known_everywhere()
        return token

    async def id_of(self, digest: str, tenant: str) -> str:
        """Return the id of the token whose text has the SHA-256, in hex. `tenant` and NotFoundError as in `revoke`."""
        for token in map(read_token, await self._active_rows()):
            if token.digest == digest and (not tenant or token.tenant == tenant):
                return token.token_id
        where = f" that belongs to tenant {tenant} alone" if tenant else ""
        raise NotFoundError(f"no access token{where} has this text: it was revoked before, or another server made it")

    async def list(self, tenant: str) -> Sequence[Listed]:
        """Return the tokens that belong to the tenant, the newest first; all tokens for an empty tenant."""
        tokens = [token for token in map(read_token, await self._active_rows()) if not tenant or token.tenant == tenant]
        uses = (await self.commands.ledger.load(ReadSet([use_key(token.token_id) for token in tokens]))).rows
        return [Listed(token, read_use(uses.get(use_key(token.token_id)))) for token in tokens]

    async def _create(self, new: NewToken, text: str, command: ChangeCommand, now_us: int) -> Plan[AccessToken]:
        active = [(row, read_token(row)) for row in await self._active_rows()]
        if sum(not token.expired(now_us) for _, token in active) >= TOKENS_MAX:
            raise FailedPreconditionError(TOKENS_FULL, REFUSALS[TOKENS_FULL])
        ended = [row for row, token in active if token.expired(now_us - EXPIRED_LISTED_US)]
        token = AccessToken(
            command.target,
            new.name,
            digest_of(text),
            new.grants,
            folded(new.person),
            tuple(sorted(set(new.person_roles))),
            command.actor,
            now_us,
            now_us + (new.expires_after_seconds or TOKEN_TTL_SECONDS_DEFAULT) * _SECOND_US,
        )
        changes = (
            PutIfVersion(token_row(token)),
            await self._counted(now_us),
            *(PutIfVersion(ended_row(row, EXPIRED)) for row in ended[:ENDED_TOGETHER]),
        )
        return Plan(token_created(token, command, changes), token)

    async def _revoke(self, command: ChangeCommand, now_us: int) -> Plan[AccessToken]:
        key = token_key(command.target)
        row = (await self.commands.ledger.load(ReadSet([key]))).rows.get(key)
        token = read_token(row) if row is not None and row.status == ACTIVE else None
        if row is None or token is None or (command.tenant and token.tenant != command.tenant):
            raise NotFoundError(_not_found(command))
        changes = (PutIfVersion(ended_row(row, REVOKED)), await self._counted(now_us))
        return Plan(token_revoked(token, command, now_us, changes), token)

    async def _counted(self, now_us: int) -> PutIfVersion:
        snapshot = await self.commands.ledger.load(ReadSet([VERSION_KEY]))
        return PutIfVersion(counted_row(snapshot.rows.get(VERSION_KEY), now_us))

    async def _active_rows(self) -> Sequence[Row]:
        return [row async for row in rows_of(self.commands.ledger, StateTable.ACCESS_TOKENS, "", ACTIVE)]


def _not_found(command: ChangeCommand) -> str:
    where = f" that belongs to tenant {command.tenant} alone" if command.tenant else ""
    return f"no access token {command.target}{where}; `placet tokens list` shows the ids, tok_..."
