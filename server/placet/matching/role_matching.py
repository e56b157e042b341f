"""Assigns a role to each vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Sequence


def matched_roles(
    claims: Sequence[Sequence[str]], approver_roles: Sequence[str], *, distinct: bool
) -> tuple[str | None, ...]:
    """Return for each vote the role that it counts as; None for a vote that does not count.

    `claims` are the roles that each vote could count as, in the order of the votes. `approver_roles` are the roles that
    may approve; empty for any. When `distinct`, as many votes as possible get a role that no other vote has. If
    `approver_roles` is empty and `distinct` is False, a vote without any role counts as "".
    """
    spelled = {folded(role): role for role in reversed(approver_roles)}
    possible = [
        [spelled.get(folded(role), role) for role in roles if not approver_roles or folded(role) in spelled]
        for roles in claims
    ]
    if not distinct:
        no_role = None if approver_roles else ""
        return tuple(roles[0] if roles else no_role for roles in possible)
    vote_by_role: dict[str, int] = {}

    def place(vote: int, tried: set[str]) -> bool:
        for role in possible[vote]:
            if role in tried:
                continue
            tried.add(role)
            if role not in vote_by_role or place(vote_by_role[role], tried):
                vote_by_role[role] = vote
                return True
        return False

    for vote in range(len(possible)):
        place(vote, set())
    role_by_vote = {vote: role for role, vote in vote_by_role.items()}
    return tuple(role_by_vote.get(vote) for vote in range(len(possible)))
