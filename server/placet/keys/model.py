"""The keys of one use, as they are stored, and how a rotation changes them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, structs

from placet.kernel.limits import PERMIT_KEY_OVERLAP_SECONDS
from placet.permits.claims import PermitKey
from placet.permits.schedule import ends_of, free_second, verifies_at

PERMIT: Final = "permit"
"""The use of keys that sign permits."""
REPLACE_ALL: Final = "replace all keys with `placet keys rotate --withdraw` and the server's key-encryption setting"
"""The remedy for keys that cannot be read."""


class StoredKey(Struct, frozen=True):
    """A key whose private half is encrypted."""

    key_id: str
    signs_from: int
    """The key signs from this second on, since the Unix epoch."""
    encrypted_by: str
    """Id of the key-encryption key."""
    encrypted: bytes = b""
    """The private half. Empty when it is not needed, as in lists."""


class KeySet(Struct, frozen=True):
    """All keys of one use."""

    keys: tuple[StoredKey, ...] = ()
    """By `signs_from`, which differ. The last one has no end."""
    withdrawn_at: int = 0
    """When keys were last withdrawn, in seconds since the Unix epoch; 0 for never."""

    def ends(self) -> list[int]:
        """Return when each key stops to sign; 0 for the last one."""
        return ends_of([key.signs_from for key in self.keys])

    def public(self) -> list[PermitKey]:
        """Return when each key signs and verifies, without its public half."""
        return [
            PermitKey(key.key_id, b"", key.signs_from, until) for key, until in zip(self.keys, self.ends(), strict=True)
        ]

    def second_for_new(self, second: int) -> int:
        """Return that second, or the first one after it from which no key signs yet."""
        return free_second(second, {key.signs_from for key in self.keys})

    def without_expired(self, now: int) -> KeySet:
        """Return the keys that verify anything at that second or later."""
        kept = [key for key, times in zip(self.keys, self.public(), strict=True) if verifies_at(times, now)]
        return structs.replace(self, keys=tuple(kept))

    def with_key(self, key: StoredKey) -> KeySet:
        """Return these keys and one more."""
        return structs.replace(self, keys=tuple(sorted((*self.keys, key), key=lambda each: each.signs_from)))

    def withdrew(self, earlier: PermitKey) -> bool:
        """Return whether the last withdrawal covers a key of the folder that was used before.

        Its file may have been there for PERMIT_KEY_OVERLAP_SECONDS, the longest delay of a rotation, before it signs.
        """
        return earlier.signs_from <= self.withdrawn_at + PERMIT_KEY_OVERLAP_SECONDS if self.withdrawn_at else False

    def ids_missing_in(self, other: KeySet) -> list[str]:
        """Return the ids of keys that the other set does not have."""
        kept = {key.key_id for key in other.keys}
        return [key.key_id for key in self.keys if key.key_id not in kept]
