"""Whether enough people could agree, where the tenant's file says who they are."""

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


def quorum_faults(groups: Mapping[str, Sequence[str]], wanted: Quorum, path: Place) -> Iterator[DocumentDiagnostic]:
    """Roles that nobody has, and a quorum that cannot be reached. Nothing where the file names no groups."""
    if not groups:
        return
    for index, role in enumerate(wanted.approver_roles):
        if not any(same_name(role, each) for each in groups):
            yield DocumentDiagnostic(
                (*path, "approver_roles", index), f"{role} is no approver group", did_you_mean(role, groups)
            )
    persons = len(eligible(groups, wanted.approver_roles))
    if wanted.quorum > persons:
        what = f"{wanted.quorum} people must agree, and {persons} may"
        yield DocumentDiagnostic((*path, "quorum"), what, "lower it, or name more people under approver_groups")
    elif isinstance(wanted, Approval) and wanted.distinct_roles and _pairs(groups, wanted) < wanted.quorum:
        what = f"{wanted.quorum} people of different roles must agree, and {_pairs(groups, wanted)} could"
        yield DocumentDiagnostic((*path, "quorum"), what, "lower it, or name more people under approver_groups")


def _pairs(groups: Mapping[str, Sequence[str]], wanted: Quorum) -> int:
    """How many roles can be given a person each, nobody twice."""
    persons = sorted(eligible(groups, wanted.approver_roles))
    claims = [[role for role in wanted.approver_roles if person in members_of(groups, role)] for person in persons]
    matched = matched_roles(claims, wanted.approver_roles, distinct=True)
    return sum(role is not None for role in matched)
