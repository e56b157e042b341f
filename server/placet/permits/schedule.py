"""Which of several permit keys signs, and which verify. The time of the decision selects the key.

A key signs from its second until that of the next one, and verifies PERMIT_KEY_OVERLAP_SECONDS longer.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from placet.permits.claims import PermitKey


class SigningKey(Protocol):
    """A permit key with its private half."""

    @property
    def public(self) -> PermitKey:
        """The public key."""
        ...

    def sign(self, claims: bytes) -> str:
        """Return the signed token of these claims."""
        ...


Key = TypeVar("Key", bound=SigningKey)


def ends_of(signs_from: Sequence[int]) -> list[int]:
    """Return when each key stops to sign: at the second of the next one; 0 for the last. Sorted by second."""
    return [*signs_from[1:], 0][: len(signs_from)]


def verifies_at(key: PermitKey, now: int) -> bool:
    """Return whether the key verifies permits now or later. `now` is in seconds since the Unix epoch."""
    return now < (key.verifies_until or math.inf)


def signs_at(keys: Sequence[Key], second: int) -> Key:
    """Return the newest key that signs at that second; before all keys, the first one."""
    active = [key for key in keys if key.public.signs_from <= second]
    return active[-1] if active else keys[0]


def free_second(second: int, taken: Collection[int]) -> int:
    """Return the second, or the first one after it from which no key signs yet."""
    return next(each for each in itertools.count(second) if each not in taken)
