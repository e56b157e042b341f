"""Keys that a server signs with. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class KeyState(StrEnum):
    """What a key is used for now."""

    UNSPECIFIED = "unspecified"
    """A state of a newer server."""
    WAITS = "waits"
    """It is published and does not sign yet."""
    SIGNS = "signs"
    VERIFIES = "verifies"
    """It signs no longer, and verifies what it signed."""
    EXPIRED = "expired"
    """It is not published any more."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that signs permits, without its private and public half."""

    id: str
    state: KeyState
    signs_from: datetime | None
    signs_until: datetime | None
    """When it stops to sign; None for the newest key."""
    verifies_until: datetime | None
    """When it is no longer published; None for the newest key."""
