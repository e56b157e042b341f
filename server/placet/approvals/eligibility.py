"""Finds the people who may approve, from the approver_groups of the tenant's file (role -> people)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.matching.names import folded, same_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def eligible(groups: Mapping[str, Sequence[str]], roles: Sequence[str]) -> frozenset[str]:
    """Return the folded names of the people with one of the roles; of all groups when `roles` is empty."""
    return frozenset(person for role in roles or groups for person in members_of(groups, role))


def may_act_as(groups: Mapping[str, Sequence[str]], person: str, roles: Sequence[str]) -> tuple[str, ...]:
    """Return the claimed roles that count for the person. All of them count if the tenant's file names no groups."""
    return tuple(role for role in roles if folded(person) in members_of(groups, role)) if groups else tuple(roles)


def members_of(groups: Mapping[str, Sequence[str]], role: str) -> frozenset[str]:
    """Return the folded names of the people in the role's group. The role may be spelled in any way."""
    return frozenset(folded(person) for name, group in groups.items() if same_name(name, role) for person in group)
