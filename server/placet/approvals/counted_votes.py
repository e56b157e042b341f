"""Finds the votes that count now: those of people who are approvers in the tenant's file as it is served now.

`groups` are the file's approver_groups (role -> people). If the file has none, the roles that voters claim count.
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
    """Return why a vote does not count now; "" when it counts."""
    if vote.void_reason:
        return vote.void_reason
    return NO_LONGER_APPROVER if groups and folded(vote.person) not in eligible(groups, vote.roles) else ""


def counted_votes(approval: Approval, groups: Mapping[str, Sequence[str]]) -> tuple[Vote, ...]:
    """Return the votes to approve that count now, with the roles that their persons still have."""
    return tuple(
        replace(vote, roles=may_act_as(groups, vote.person, vote.roles))
        for vote in approval.approvals
        if not why_void(vote, groups)
    )


def satisfies(approval: Approval, requirement: ApprovalRequirement, groups: Mapping[str, Sequence[str]]) -> bool:
    """Return whether the votes that count now satisfy the requirement: its quorum, roles and distinct roles."""
    claims = [vote.roles for vote in counted_votes(approval, groups)]
    matched = matched_roles(claims, requirement.approver_roles, distinct=requirement.distinct_roles)
    return sum(role is not None for role in matched) >= requirement.quorum


def approvers(approval: Approval, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the sorted names of the people whose votes count now."""
    return sorted(vote.person for vote in counted_votes(approval, groups))


def document(approval: Approval, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the value of ``input.facts.approval`` that policy sees: ``{id, approvers, quorum, created_at}``."""
    return {
        "id": approval.approval_id,
        "approvers": approvers(approval, groups),
        "quorum": approval.quorum,
        "created_at": rfc3339(approval.created_at_us),
    }
