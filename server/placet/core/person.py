"""Who votes, withdraws, or looks. Placet knows people as they are named in the request."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """A person, with the roles that it claims, sorted and distinct."""

    id: str
    roles: tuple[str, ...] = ()


def same_person(one: str, other: str) -> bool:
    """Whether two names are of one person: another spelling is no other person."""
    return folded(one) == folded(other)


def folded(name: str) -> str:
    """What all spellings of a name have in common."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
