"""Finds the customer of an action: the value in its params at a JSON pointer."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from placet.kernel import rule_ids
from placet.kernel.limits import PRINCIPAL_BYTES_MAX
from placet.matching.json_pointer import parsed, resolve
from placet.matching.names import folded, name_error
from placet.privacy.redaction import redact_json
from placet.privacy.secret_names import is_secret
from placet.privacy.value_walk import ANY_MEMBER

if TYPE_CHECKING:
    from placet.kernel.model import Proposal

_DIGEST_CHARS: Final = 32
_CACHE: Final = 8_192
"""Customers that are remembered, 5 MB at most: a batch often names one customer several times."""


class Customer(NamedTuple):
    """A customer in the scope keys of counters."""

    key: str
    """The folded name, or its digest."""
    earlier_key: str
    """The legacy key, from before all names were folded alike."""


def customer_of(proposal: Proposal, pointer: str, sensitive: tuple[str, ...] = ()) -> Customer | str:
    """Return the customer at the pointer, or a rule_id when there is none or its name is invalid.

    The key is a digest such as ``#5f2b...`` when the name must not be stored: when the pointer is at or below one of
    the `sensitive` pointers, when a member on its path has a secret's name, when the name looks like personal data, and
    when it is longer than PRINCIPAL_BYTES_MAX.
    """
    value = resolve(parsed(proposal.action.params), pointer)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return rule_ids.BUDGET_CUSTOMER_MISSING
    tenant = proposal.identity.tenant
    if isinstance(value, str) and len(value) > PRINCIPAL_BYTES_MAX:  # not kept
        return _customer.__wrapped__(value, tenant, pointer, sensitive)
    return _customer(value, tenant, pointer, sensitive)


@lru_cache(maxsize=_CACHE)
def _customer(value: str | int, tenant: str, pointer: str, sensitive: tuple[str, ...]) -> Customer | str:
    name = str(value).strip()
    if len(name) > PRINCIPAL_BYTES_MAX:  # normal forms of long texts take quadratic time
        if not (name.isascii() and name.isprintable()):
            return rule_ids.BUDGET_CUSTOMER_INVALID
        return Customer(_digest(tenant, folded(name)), _digest(tenant, name.casefold()))
    if not name:
        return rule_ids.BUDGET_CUSTOMER_MISSING
    if name_error(name):
        return rule_ids.BUDGET_CUSTOMER_INVALID
    is_storable = not redact_json(value)[1] and not any(_covers(outer, pointer) for outer in sensitive)
    is_storable = is_storable and not any(map(is_secret, pointer.split("/")))
    keys = folded(name), unicodedata.normalize("NFKC", name).strip().casefold()
    return Customer(*(key if is_storable and _is_short(key) else _digest(tenant, key) for key in keys))


def _is_short(name: str) -> bool:
    return len(name.encode()) <= PRINCIPAL_BYTES_MAX


def _digest(tenant: str, name: str) -> str:
    digest = hashlib.sha256(f"{tenant}\0{name}".encode())
    return "#" + digest.hexdigest()[:_DIGEST_CHARS]


def _covers(outer: str, pointer: str) -> bool:
    """Return whether the pointer is `outer` or below it. ``*`` in `outer` matches any member or index."""
    outer_tokens, tokens = outer.split("/"), pointer.split("/")
    return len(outer_tokens) <= len(tokens) and all(
        expected in {ANY_MEMBER, token} for expected, token in zip(outer_tokens, tokens, strict=False)
    )
