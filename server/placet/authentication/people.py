"""What two-person rules need of the authentication file: a program is no person, and one person is not two."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from placet.identity.model import EVERY_TENANT, Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.authentication.issuers import IssuerEntry

_COUNTED: Final = frozenset({Role.APPROVER, Role.OPERATOR, Role.POLICY_AUTHOR, Role.ADMIN})
"""The roles whose people are counted: they vote, or make changes that need a second person."""
_EVERY_SUBJECT: Final = frozenset({"sub", "oid"})
"""Claims that the tokens of programs have as well, so that they tell no person from a program."""


def people_problems(entries: Sequence[IssuerEntry]) -> Iterator[str]:
    """Yield why two-person rules would not hold with these entries: key, problem and remedy of each.

    Entries of one issuer identify people by the same claims, which the document checks before.
    """
    for index, entry in enumerate(entries):
        if _counted_in(entry) and not entry.people_when and entry.person_claim in {"", *_EVERY_SUBJECT}:
            yield (
                f"issuers[{index}].people_when: is required, because nothing else tells people from programs, and the "
                "roles of the grants count people; name a claim that only tokens of people have, such as "
                '{groups = "employees"}, or identify people by a person_claim that programs lack'
            )
    for (first, one), (second, other) in combinations(enumerate(entries), 2):
        tenants = _in_common(_counted_in(one), _counted_in(other))
        if tenants and one.person_claim != other.person_claim:
            yield (
                f"issuers[{second}].person_claim: differs from issuers[{first}], and the people of both decide in "
                f"{_named(tenants)}, so that one person would be two; write one in both that is the same for a person"
            )


def people_warnings(entries: Sequence[IssuerEntry]) -> Iterator[str]:
    """Yield where one person may be two, if the issuers have people in common. Only people can tell whether they do."""
    for (first, one), (second, other) in combinations(enumerate(entries), 2):
        if one.issuer == other.issuer:
            continue
        tenants = _in_common(_counted_in(one), _counted_in(other))
        if tenants and not one.person_claim:
            yield (
                f"issuers[{first}] and issuers[{second}]: a person with an account at both is two people in "
                f"{_named(tenants)}"
            )
        users, people = (one, other) if one.is_for_users else (other, one)
        tenants = _in_common(_users_in(users), _counted_in(people)) if users.is_for_users else frozenset()
        if tenants and (not users.person_claim or users.person_claim != people.person_claim):
            yield (
                f"issuers[{first}] and issuers[{second}]: a user with an account at both can approve what is done on "
                f"the user's own behalf in {_named(tenants)}"
            )


def _counted_in(entry: IssuerEntry) -> frozenset[str]:
    """Return the tenants in which the people of an entry are counted; empty if it has none."""
    if not entry.people:
        return frozenset()
    return frozenset(tenant for grant in entry.grants if grant.role in _COUNTED for tenant in grant.tenants)


def _users_in(entry: IssuerEntry) -> frozenset[str]:
    return frozenset(entry.user_tenants or {EVERY_TENANT})  # a claim may name any tenant


def _in_common(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    if EVERY_TENANT in one:
        return other
    return one if EVERY_TENANT in other else one & other


def _named(tenants: frozenset[str]) -> str:
    return "every tenant" if EVERY_TENANT in tenants else ", ".join(sorted(tenants))
