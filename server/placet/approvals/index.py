"""Finds the newest request for approval of an action, so that the same action does not open a second request.

An index row holds the id of that request. Every new request changes the row. So two callers that ask at the same time
open only one request: the second commit conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import structs

from placet.actions.canonical_json import digest
from placet.approvals.binding import folded_digest, is_bound_to
from placet.approvals.counted_votes import satisfies
from placet.approvals.model import ApprovalState, covers_exceeded_budgets, state_at
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.kernel.model import ApprovalRequirement, Caller, Finding, Proposal


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """The index entry of an action, as it was read."""

    key: RowKey
    row: Row | None = None
    """The index row; None when the action has none."""
    approval: Approval | None = None
    """The newest approval of the action; None when there is none."""


def index_key(proposal: Proposal, caller: Caller) -> RowKey:
    """Return the key of the action's index row. It is the same for all spellings of agent and user.

    The caller is part of the key, because a caller cannot vote on its own request.
    """
    return _key(proposal, folded_digest(proposal), caller)


def legacy_index_key(proposal: Proposal, caller: Caller) -> RowKey:
    """Return the key from before names were folded. An open request of an older version may be under it."""
    return _key(proposal, proposal.action_digest, caller)


def index_row(entry: IndexEntry, approval_id: str, now_us: int) -> Row:
    """Return the index row to put when `approval_id` becomes the newest request."""
    body = orjson.dumps({"approval_id": approval_id})
    return structs.replace(entry.row or Row(entry.key, "", now_us, b""), body=body)


def approval_id_in(row: Row) -> str:
    """Return the approval_id of an index row."""
    body: dict[str, Any] = orjson.loads(row.body)
    return str(body["approval_id"])


def still_open(
    entry: IndexEntry,
    proposal: Proposal,
    required: ApprovalRequirement,
    findings: Iterable[Finding],
    groups: Mapping[str, Sequence[str]],
    now_us: int,
) -> Approval | None:
    """Return the request of the action that can be used for the requirement; None when a new one must be opened.

    A pending request must ask for exactly what is required; an approved one must satisfy it. The request must not
    expire later than a new one would. `now_us` is the time of the batch: another replica may have opened the request
    since then, and that request may expire as much later.
    """
    approval = entry.approval
    if approval is None or not is_bound_to(approval, proposal) or not covers_exceeded_budgets(approval, findings):
        return None
    if approval.expires_at_us > required.expires_at_us + max(0, approval.created_at_us - now_us):
        return None
    match state_at(approval, now_us):
        case ApprovalState.PENDING:
            terms = (approval.quorum, approval.approver_roles, approval.distinct_roles)
            return approval if terms == (required.quorum, required.approver_roles, required.distinct_roles) else None
        case ApprovalState.APPROVED:
            return approval if satisfies(approval, required, groups) else None
        case _:
            return None


def _key(proposal: Proposal, action_digest: str, caller: Caller) -> RowKey:
    name = digest(f"{action_digest} {caller.name}".encode())
    return RowKey(StateTable.APPROVAL_INDEX, proposal.identity.tenant, name)
