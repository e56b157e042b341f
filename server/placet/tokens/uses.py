"""Notes when access tokens are used, to the hour: in memory for each call, in the database once in a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.state import ReadSet
from placet.tokens.documents import read_use, use_key, use_row

if TYPE_CHECKING:
    from placet.audit.ports import Ledger

STORED_EVERY_US: Final = 3_600 * 1_000_000


class TokenUses:
    """The last uses of tokens in this process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._stored: dict[str, int] = {}
        self._pending: dict[str, int] = {}

    def note(self, token_id: str, now_us: int) -> None:
        """Note that a token is used."""
        if now_us - self._stored.get(token_id, 0) >= STORED_EVERY_US:
            self._pending[token_id] = now_us

    async def store(self) -> None:
        """Store the uses that are an hour later than the stored ones. LedgerUnavailableError when that fails."""
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        keys = {token_id: use_key(token_id) for token_id in pending}
        rows = (await self._ledger.load(ReadSet(list(keys.values())))).rows
        due = []
        for token_id, used_at_us in pending.items():
            before = rows.get(keys[token_id])
            stored_us = read_use(before)
            if used_at_us - stored_us >= STORED_EVERY_US:
                due.append(use_row(token_id, used_at_us, before))
                stored_us = used_at_us
            self._stored[token_id] = stored_us
        if due:
            await self._ledger.put_unaudited(due)  # another process may have been faster, which is as good
