"""The access tokens that a process accepts, in memory, so that verifying one needs no query.

A process that is alone with its database learns of each change because it makes it. Others hold a lease: they use what
they read for LEASE_SECONDS, counted from before the read, and read the version row anew every RENEW_SECONDS. A change
of a token waits for SETTLED_SECONDS after its commit, when every lease that began before the commit has ended. So once
RevokeToken has returned, no process accepts the token; and no call ever waits for the database, except when it is slow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.commands.row_pages import rows_of
from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.state import ReadSet, StateTable
from placet.tokens.documents import ACTIVE, VERSION_KEY, read_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.audit.ports import RowReader
    from placet.kernel.clock import Clock
    from placet.tokens.model import AccessToken

LEASE_SECONDS: Final = 1.0
RENEW_SECONDS: Final = 0.4
"""Interval of the reads. Two may be slow or fail before a call has to wait."""
SETTLED_SECONDS: Final = LEASE_SECONDS + 0.1
"""Longer than any lease, also by a clock that runs some per cent slower than another."""


class _Known(Struct, frozen=True):
    """Tokens as they were at one time."""

    version: int
    by_digest: Mapping[str, AccessToken]
    ids: frozenset[str]
    read_at: float
    """Monotonic seconds from before the read."""
    read_at_us: int


class TokenDirectory:
    """The tokens that are neither revoked nor unknown; expired ones are among them. For one event loop.

    `clock` is the machine's, whose two times are independent. `alone`: no other process can write to the database while
    this one runs.
    """

    def __init__(self, ledger: RowReader, clock: Clock, *, alone: bool) -> None:
        self._ledger = ledger
        self._clock = clock
        self.alone = alone
        self._known: _Known | None = None
        self._forget_count = 0
        self._reading: asyncio.Task[_Known] | None = None

    async def find(self, digest: str) -> AccessToken | None:
        """Return the token with the digest. LedgerUnavailableError when it cannot be known whether there is one."""
        return (await self._current()).by_digest.get(digest)

    async def has(self, token_id: str) -> bool:
        """Return whether the token is still among them. Raises as `find` does."""
        return token_id in (await self._current()).ids

    async def renew(self) -> None:
        """Read what has changed. A failure is left to the calls that need the tokens."""
        try:
            await self._read_once()
        except LedgerUnavailableError:
            return

    async def known_everywhere(self) -> None:
        """Return when every process knows what was committed before the call."""
        if not self.alone:
            await asyncio.sleep(SETTLED_SECONDS)

    def forget(self, tenants: Iterable[str] = ()) -> None:  # noqa: ARG002 - as `ControlCommands` calls it
        """Read anew before the next use, because a token was changed."""
        self._forget_count += 1
        self._known = None

    async def _current(self) -> _Known:
        known = self._known
        while known is None or not self._holds(known):
            known = await self._read_once()
        return known

    def _holds(self, known: _Known) -> bool:
        """Return whether the lease holds, by either clock: one of them may stand still while a machine sleeps."""
        if self.alone:
            return True
        elapsed = max(self._clock.monotonic() - known.read_at, (self._clock.wall_us() - known.read_at_us) / 1_000_000)
        return elapsed < LEASE_SECONDS

    async def _read_once(self) -> _Known:
        """Read, or wait for the read that is in progress. A cancelled caller does not stop it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> _Known:
        while True:
            forget_count, known = self._forget_count, self._known
            read = await self._read_after(known)
            if forget_count == self._forget_count:  # otherwise it may be older than a call of `forget`
                self._known = read
                return read

    async def _read_after(self, known: _Known | None) -> _Known:
        """Return the tokens of now. Reads the version first, so that tokens are never older than their version."""
        read_at, read_at_us = self._clock.monotonic(), self._clock.wall_us()
        row = (await self._ledger.load(ReadSet([VERSION_KEY]))).rows.get(VERSION_KEY)
        version = row.version if row is not None else 0
        if known is not None and known.version == version:
            return _Known(version, known.by_digest, known.ids, read_at, read_at_us)
        rows = rows_of(self._ledger, StateTable.ACCESS_TOKENS, "", ACTIVE)
        tokens = [read_token(row) async for row in rows]
        by_digest = {token.digest: token for token in tokens}
        return _Known(version, by_digest, frozenset(token.token_id for token in tokens), read_at, read_at_us)
