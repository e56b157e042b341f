"""Who votes, withdraws, or looks. Placet knows people as they are named in the request."""

from __future__ import annotations

from dataclasses import dataclass

from placet.matching.names import same_name


@dataclass(frozen=True, slots=True)
class Person:
    """A person, with the roles that it claims, sorted and distinct."""

    id: str
    roles: tuple[str, ...] = ()


def same_person(one: str, other: str) -> bool:
    """Whether two names are of one person: another spelling is no other person."""
    return same_name(one, other)
