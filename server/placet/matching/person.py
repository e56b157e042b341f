"""People who vote, cancel or read. Placet knows them by the names in requests."""

from __future__ import annotations

from dataclasses import dataclass

from placet.matching.names import same_name


@dataclass(frozen=True, slots=True)
class Person:
    """A person."""

    id: str
    roles: tuple[str, ...] = ()
    """The roles that the person claims, sorted and distinct."""


def same_person(one: str, other: str) -> bool:
    """Return whether two ids are spellings of one person's name."""
    return same_name(one, other)
