"""Checks whether enough people can approve, when the tenant's file has approver_groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.approvals.eligibility import eligible, members_of
from placet.kernel.diagnostics import DocumentDiagnostic, did_you_mean
from placet.matching.names import same_name
from placet.matching.role_matching import matched_roles
from placet.tenants.sections import Approval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.kernel.diagnostics import Place
    from placet.tenants.sections import Quorum


def quorum_diagnostics(
    groups: Mapping[str, Sequence[str]], quorum: Quorum, path: Place
) -> Iterator[DocumentDiagnostic]:
    """Report roles without a group, and a quorum that cannot be reached. Reports nothing when there are no groups."""
    if not groups:
        return
    for index, role in enumerate(quorum.approver_roles):
        if not any(same_name(role, group) for group in groups):
            yield DocumentDiagnostic(
                (*path, "approver_roles", index), f"{role} is not an approver group", did_you_mean(role, groups)
            )
    people = len(eligible(groups, quorum.approver_roles))
    if quorum.quorum > people:
        required = "1 person" if quorum.quorum == 1 else f"{quorum.quorum} people"
        what = f"{required} must approve, but {f'only {people}' if people else 'no one'} may"
        yield DocumentDiagnostic((*path, "quorum"), what, "lower it, or name more people under approver_groups")
    elif isinstance(quorum, Approval) and quorum.distinct_roles and _distinct_voters(groups, quorum) < quorum.quorum:
        voters = _distinct_voters(groups, quorum)
        what = f"{quorum.quorum} people of different roles must approve, but only {voters} can"
        yield DocumentDiagnostic((*path, "quorum"), what, "lower it, or name more people under approver_groups")


def _distinct_voters(groups: Mapping[str, Sequence[str]], quorum: Quorum) -> int:
    """Return how many people can vote when each of them votes as another role."""
    people = sorted(eligible(groups, quorum.approver_roles))
    claims = [[role for role in quorum.approver_roles if person in members_of(groups, role)] for person in people]
    matched = matched_roles(claims, quorum.approver_roles, distinct=True)
    return sum(role is not None for role in matched)
