"""Which request for approval is the newest for an action: whoever asks for the same again waits for that one.

The row that names it moves with each new request, so that two who ask at once open one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from placet.actions.canonical_json import digest
from placet.approvals.binding import folded_digest, is_bound_to
from placet.approvals.model import ApprovalState, knew, state_at
from placet.approvals.standing_votes import covers
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.kernel.model import ApprovalRequirement, Caller, Finding, Proposal


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index says of an action: its row as it was read, and the approval that it names. None for nothing."""

    key: RowKey
    row: Row | None = None
    approval: Approval | None = None


def index_key(proposal: Proposal, caller: Caller) -> RowKey:
    """Where it stands, in whatever spelling the action names agent and user.

    By who sent it, too, since nobody votes on a request of his own.
    """
    return _key(proposal, folded_digest(proposal), caller)


def legacy_index_key(proposal: Proposal, caller: Caller) -> RowKey:
    """Where it stood before names were folded: there may be an open request of then."""
    return _key(proposal, proposal.action_digest, caller)


def index_row(found: Indexed, approval_id: str, now_us: int) -> Row:
    """The row to put: the newest request for approval is this one."""
    body = orjson.dumps({"approval_id": approval_id})
    return replace(found.row or Row(found.key, "", now_us, b""), body=body)


def named_in(row: Row) -> str:
    """The id of the approval that a row names."""
    said: dict[str, Any] = orjson.loads(row.body)
    return str(said["approval_id"])


def still_open(
    found: Indexed,
    proposal: Proposal,
    wanted: ApprovalRequirement,
    findings: Iterable[Finding],
    groups: Mapping[str, Sequence[str]],
    now_us: int,
) -> Approval | None:
    """The request for approval of the action that asks for what is wanted, or was granted that; None to open one.

    Its end is never later than that of a new one.
    """
    approval = found.approval
    if approval is None or not is_bound_to(approval, proposal) or not knew(approval, findings):
        return None
    if approval.expires_at_us > wanted.expires_at_us:
        return None
    match state_at(approval, now_us):
        case ApprovalState.PENDING:
            asked = (approval.quorum, approval.approver_roles, approval.distinct_roles)
            return approval if asked == (wanted.quorum, wanted.approver_roles, wanted.distinct_roles) else None
        case ApprovalState.APPROVED:
            return approval if covers(approval, wanted, groups) else None
        case _:
            return None


def _key(proposal: Proposal, action_digest: str, caller: Caller) -> RowKey:
    name = digest(f"{action_digest} {caller.name}".encode())
    return RowKey(StateTable.APPROVAL_INDEX, proposal.identity.tenant, name)
