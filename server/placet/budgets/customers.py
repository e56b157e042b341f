"""Whom an action is about: the customer that a JSON pointer into its params names."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from placet.kernel import rule_ids
from placet.kernel.limits import PRINCIPAL_BYTES_MAX
from placet.matching.json_pointer import parsed, resolve
from placet.matching.names import folded, name_fault
from placet.privacy.redaction import ANY_MEMBER, redact_params
from placet.privacy.secret_names import is_secret

if TYPE_CHECKING:
    from placet.kernel.model import Proposal

_DIGEST_CHARS: Final = 32


class Customer(NamedTuple):
    """A customer as counters keep it, and as they kept it before all names were folded alike."""

    key: str
    earlier_key: str


def customer_of(proposal: Proposal, pointer: str, sensitive: tuple[str, ...] = ()) -> Customer | str:
    """The customer that stands at the pointer; a rule_id when none does, or what does is no name.

    A name that must not be kept (its place is one of the `sensitive` pointers or has a secret's name, it looks like
    personal data, or it is too long) is a digest: ``#5f2b...``.
    """
    found = resolve(parsed(proposal.action.params), pointer)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return rule_ids.BUDGET_CUSTOMER_MISSING
    said = str(found).strip()
    if len(said) > PRINCIPAL_BYTES_MAX:  # normal forms of long texts take quadratic time
        if not (said.isascii() and said.isprintable()):
            return rule_ids.BUDGET_CUSTOMER_INVALID
        return Customer(_digest(proposal, folded(said)), _digest(proposal, said.casefold()))
    if not said:
        return rule_ids.BUDGET_CUSTOMER_MISSING
    if name_fault(said):
        return rule_ids.BUDGET_CUSTOMER_INVALID
    is_kept = not redact_params(found)[1] and not any(_covers(place, pointer) for place in sensitive)
    is_kept = is_kept and not any(map(is_secret, pointer.split("/")))
    names = folded(said), unicodedata.normalize("NFKC", said).strip().casefold()
    return Customer(*(name if is_kept and _is_short(name) else _digest(proposal, name) for name in names))


def _is_short(name: str) -> bool:
    return len(name.encode()) <= PRINCIPAL_BYTES_MAX


def _digest(proposal: Proposal, name: str) -> str:
    digest = hashlib.sha256(f"{proposal.identity.tenant}\0{name}".encode())
    return "#" + digest.hexdigest()[:_DIGEST_CHARS]


def _covers(place: str, pointer: str) -> bool:
    """Whether what stands at the pointer stands at the place, or within it. ``*`` in a place is any member or index."""
    outer, inner = place.split("/"), pointer.split("/")
    return len(outer) <= len(inner) and all(a in {ANY_MEMBER, b} for a, b in zip(outer, inner, strict=False))
