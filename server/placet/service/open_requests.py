"""Step 4 of a decision: the request for approval that is open for an action already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.core.approval import approval_key, from_row
from placet.core.approval_index import Indexed, index_key, named_in
from placet.core.changes import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.core.ports import Ledger
    from placet.service.attempts import Attempt


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """Looks requests for approval up by their actions."""

    ledger: Ledger

    async def of(self, attempts: Sequence[Attempt]) -> Sequence[Indexed]:
        """What the index says of each action. LedgerUnavailableError."""
        keys = [index_key(each.proposal, each.request.caller) for each in attempts]
        if not keys:
            return ()
        rows = (await self.ledger.load(Wanted(keys))).rows
        named = {key: approval_key(key.tenant, named_in(row)) for key, row in rows.items()}
        approvals = (await self.ledger.load(Wanted(list(named.values())))).rows if named else {}
        found = {key: from_row(approvals[name]) for key, name in named.items() if name in approvals}
        return [Indexed(key, rows.get(key), found.get(key)) for key in keys]
