"""Whom an action is about: the customer that a JSON pointer into its params names."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Final

from placet.core.json_pointer import parsed, resolve
from placet.core.limits import PRINCIPAL_BYTES_MAX
from placet.core.redact import ANY_MEMBER, redact_params
from placet.core.secret_names import is_secret

if TYPE_CHECKING:
    from placet.core.model import Proposal

_DIGEST_CHARS: Final = 32


def customer_of(proposal: Proposal, pointer: str, sensitive: tuple[str, ...] = ()) -> str:
    """The customer's name as counters keep it; empty when no text or whole number stands at the pointer.

    Case, surrounding space and forms of one character make no other customer. A name that must not be kept (its place
    is one of the `sensitive` pointers, it looks like personal data, or it is too long) is a digest: ``#5f2b...``.
    """
    found = resolve(parsed(proposal.action.params), pointer)
    if isinstance(found, bool) or not isinstance(found, str | int):
        return ""
    said = str(found)
    if len(said) > PRINCIPAL_BYTES_MAX:  # normal forms of long texts take quadratic time
        return _digest(proposal, said.strip().casefold())
    name = unicodedata.normalize("NFKC", said).strip().casefold()
    if not name:
        return ""
    looks_personal = redact_params(found)[1] or any(_covers(place, pointer) for place in sensitive)
    looks_personal |= any(map(is_secret, pointer.split("/")))
    if not looks_personal and len(name.encode()) <= PRINCIPAL_BYTES_MAX and name.isprintable():
        return name
    return _digest(proposal, name)


def _digest(proposal: Proposal, name: str) -> str:
    digest = hashlib.sha256(f"{proposal.identity.tenant}\0{name}".encode())
    return "#" + digest.hexdigest()[:_DIGEST_CHARS]


def _covers(place: str, pointer: str) -> bool:
    """Whether what stands at the pointer stands at the place, or within it. ``*`` in a place is any member or index."""
    outer, inner = place.split("/"), pointer.split("/")
    return len(outer) <= len(inner) and all(a in {ANY_MEMBER, b} for a, b in zip(outer, inner, strict=False))
