"""Step 4 of a decision: look up the request for approval that is already open for an action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.approvals.index import IndexEntry, approval_id_in, index_key, legacy_index_key
from placet.approvals.model import approval_key, from_row
from placet.kernel.state import ReadSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import StateStore
    from placet.decision.attempt import Attempt
    from placet.kernel.state import RowKey


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """Looks up requests for approval by their actions."""

    ledger: StateStore

    async def of(self, attempts: Sequence[Attempt]) -> Sequence[IndexEntry]:
        """Return the index entry of each action, in order. Raises LedgerUnavailableError."""
        if not attempts:
            return ()
        key_pairs = [_keys(attempt) for attempt in attempts]
        index_keys = list(dict.fromkeys(key for pair in key_pairs for key in pair))
        rows = (await self.ledger.load(ReadSet(index_keys))).rows
        approval_keys = {key: approval_key(key.tenant, approval_id_in(row)) for key, row in rows.items()}
        approval_rows = (await self.ledger.load(ReadSet(list(approval_keys.values())))).rows if approval_keys else {}
        approvals = {
            index_key: from_row(approval_rows[row_key])
            for index_key, row_key in approval_keys.items()
            if row_key in approval_rows
        }
        return [IndexEntry(key, rows.get(key), _newest(approvals, key, legacy_key)) for key, legacy_key in key_pairs]


def _keys(attempt: Attempt) -> tuple[RowKey, RowKey]:
    """Return the key of the action's index row, and the legacy key from before names were folded.

    The two are mostly the same.
    """
    proposal, caller = attempt.proposal, attempt.request.caller
    return index_key(proposal, caller), legacy_index_key(proposal, caller)


def _newest(approvals: Mapping[RowKey, Approval], key: RowKey, legacy_key: RowKey) -> Approval | None:
    """Return the approval of the key. When there is none, or it has ended, return that of the legacy key, if any."""
    approval = approvals.get(key)
    return approval if approval is not None and approval.open else approvals.get(legacy_key, approval)
