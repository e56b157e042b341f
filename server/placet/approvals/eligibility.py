"""Who may approve, where the tenant's file says who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.matching.names import folded, same_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def eligible(groups: Mapping[str, Sequence[str]], roles: Sequence[str]) -> frozenset[str]:
    """The persons with one of the roles, of any group when no role is named; their names folded."""
    return frozenset(person for role in roles or groups for person in members_of(groups, role))


def may_act_as(groups: Mapping[str, Sequence[str]], person: str, roles: Sequence[str]) -> tuple[str, ...]:
    """Those of the roles a person claims that count: all of them where the tenant's file names no groups."""
    return tuple(role for role in roles if folded(person) in members_of(groups, role)) if groups else tuple(roles)


def members_of(groups: Mapping[str, Sequence[str]], role: str) -> frozenset[str]:
    """The persons of the group that the role names, however it is spelled."""
    return frozenset(folded(person) for name, group in groups.items() if same_name(name, role) for person in group)
