"""Whether enough people could agree, where the tenant's file says who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.core.faults import Fault, did_you_mean
from placet.core.names import folded, same_name
from placet.core.policy_sections import Approval, Quorum
from placet.core.role_matching import matched_roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.core.faults import Place


def eligible(groups: Mapping[str, Sequence[str]], roles: Sequence[str]) -> frozenset[str]:
    """The persons with one of the roles, of any group when no role is named; their names folded."""
    return frozenset(person for role in roles or groups for person in _members(groups, role))


def may_act_as(groups: Mapping[str, Sequence[str]], person: str, roles: Sequence[str]) -> tuple[str, ...]:
    """Those of the roles a person claims that count: all of them where the tenant's file names no groups."""
    return tuple(role for role in roles if folded(person) in _members(groups, role)) if groups else tuple(roles)


def _members(groups: Mapping[str, Sequence[str]], role: str) -> frozenset[str]:
    """The persons of the group that the role names, however it is spelled."""
    return frozenset(folded(person) for name, group in groups.items() if same_name(name, role) for person in group)


def quorum_faults(groups: Mapping[str, Sequence[str]], wanted: Quorum, path: Place) -> Iterator[Fault]:
    """Roles that nobody has, and a quorum that cannot be reached. Nothing where the file names no groups."""
    if not groups:
        return
    for index, role in enumerate(wanted.approver_roles):
        if not any(same_name(role, each) for each in groups):
            yield Fault((*path, "approver_roles", index), f"{role} is no approver group", did_you_mean(role, groups))
    persons = len(eligible(groups, wanted.approver_roles))
    if wanted.quorum > persons:
        what = f"{wanted.quorum} people must agree, and {persons} may"
        yield Fault((*path, "quorum"), what, "lower it, or name more people under approver_groups")
    elif isinstance(wanted, Approval) and wanted.distinct_roles and _pairs(groups, wanted) < wanted.quorum:
        what = f"{wanted.quorum} people of different roles must agree, and {_pairs(groups, wanted)} could"
        yield Fault((*path, "quorum"), what, "lower it, or name more people under approver_groups")


def _pairs(groups: Mapping[str, Sequence[str]], wanted: Quorum) -> int:
    """How many roles can be given a person each, nobody twice."""
    persons = sorted(eligible(groups, wanted.approver_roles))
    claims = [[role for role in wanted.approver_roles if person in _members(groups, role)] for person in persons]
    matched = matched_roles(claims, wanted.approver_roles, distinct=True)
    return sum(role is not None for role in matched)
