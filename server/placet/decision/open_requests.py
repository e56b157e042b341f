"""Step 4 of a decision: the request for approval that is open for an action already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.approvals.index import Indexed, index_key, index_key_of_before, named_in
from placet.approvals.model import approval_key, from_row
from placet.kernel.state import ReadSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.decision.attempt import Attempt
    from placet.kernel.state import RowKey


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """Looks requests for approval up by their actions."""

    ledger: Ledger

    async def of(self, attempts: Sequence[Attempt]) -> Sequence[Indexed]:
        """What the index says of each action. LedgerUnavailableError."""
        if not attempts:
            return ()
        keys = [_keys(each) for each in attempts]
        either = list(dict.fromkeys(key for pair in keys for key in pair))
        rows = (await self.ledger.load(ReadSet(either))).rows
        named = {key: approval_key(key.tenant, named_in(row)) for key, row in rows.items()}
        approvals = (await self.ledger.load(ReadSet(list(named.values())))).rows if named else {}
        found = {key: from_row(approvals[name]) for key, name in named.items() if name in approvals}
        return [Indexed(key, rows.get(key), _newest(found, key, of_before)) for key, of_before in keys]


def _keys(attempt: Attempt) -> tuple[RowKey, RowKey]:
    """Where its request for approval stands, and where it stood before names were folded: mostly the same."""
    proposal, caller = attempt.proposal, attempt.request.caller
    return index_key(proposal, caller), index_key_of_before(proposal, caller)


def _newest(found: Mapping[RowKey, Approval], key: RowKey, of_before: RowKey) -> Approval | None:
    """The request that is looked up under the key; one of before where that one has ended, or there is none."""
    approval = found.get(key)
    return approval if approval is not None and approval.open else found.get(of_before, approval)
