"""Which role each vote counts as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.matching.names import folded

if TYPE_CHECKING:
    from collections.abc import Sequence


def matched_roles(claims: Sequence[Sequence[str]], wanted: Sequence[str], *, distinct: bool) -> tuple[str | None, ...]:
    """For each vote the role that it counts as; None for one that does not count.

    `claims` are the roles that each could count as, in the order of the votes; `wanted` those that may approve, empty
    for any. When `distinct`, as many votes as possible get a role that no other has; without roles wanted and not
    distinct, a vote without any role counts as "".
    """
    spelled = {folded(role): role for role in reversed(wanted)}
    possible = [
        [spelled.get(folded(role), role) for role in roles if not wanted or folded(role) in spelled] for roles in claims
    ]
    if not distinct:
        nobody = None if wanted else ""
        return tuple(roles[0] if roles else nobody for roles in possible)
    taken: dict[str, int] = {}  # role -> vote

    def place(vote: int, tried: set[str]) -> bool:
        for role in possible[vote]:
            if role in tried:
                continue
            tried.add(role)
            if role not in taken or place(taken[role], tried):
                taken[role] = vote
                return True
        return False

    for vote in range(len(possible)):
        place(vote, set())
    found = {vote: role for role, vote in taken.items()}
    return tuple(found.get(vote) for vote in range(len(possible)))
