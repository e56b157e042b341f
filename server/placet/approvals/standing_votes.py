"""The votes for an approval that count today: by who is an approver in the tenant's file as it is served now.

`groups` are the file's approver_groups, role -> persons. Where it names none, claims of roles count.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from placet.approvals.eligibility import eligible, may_act_as
from placet.kernel.clock import rfc3339
from placet.matching.names import folded
from placet.matching.role_matching import matched_roles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Approval, Vote
    from placet.kernel.model import ApprovalRequirement

NO_LONGER_APPROVER: Final = "no longer an approver in the tenant's file"


def why_void(vote: Vote, groups: Mapping[str, Sequence[str]]) -> str:
    """Why a vote does not count today; "" when it does."""
    if vote.void_reason:
        return vote.void_reason
    return NO_LONGER_APPROVER if groups and folded(vote.person) not in eligible(groups, vote.roles) else ""


def standing_votes(approval: Approval, groups: Mapping[str, Sequence[str]]) -> tuple[Vote, ...]:
    """The votes for it that count today, each with those of its roles that the person still has."""
    return tuple(
        replace(vote, roles=may_act_as(groups, vote.person, vote.roles))
        for vote in approval.approvals
        if not why_void(vote, groups)
    )


def covers(approval: Approval, requirement: ApprovalRequirement, groups: Mapping[str, Sequence[str]]) -> bool:
    """Whether the votes that were given, and count today, are what is asked for now."""
    roles = [vote.roles for vote in standing_votes(approval, groups)]
    counted = matched_roles(roles, requirement.approver_roles, distinct=requirement.distinct_roles)
    return sum(role is not None for role in counted) >= requirement.quorum


def approvers(approval: Approval, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Who agreed, as it counts today, sorted."""
    return sorted(vote.person for vote in standing_votes(approval, groups))


def document(approval: Approval, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What policy sees as ``input.facts.approval``: ``{id, approvers, quorum, created_at}``."""
    return {
        "id": approval.approval_id,
        "approvers": approvers(approval, groups),
        "quorum": approval.quorum,
        "created_at": rfc3339(approval.created_at_us),
    }
