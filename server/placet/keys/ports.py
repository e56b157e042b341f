"""What keys in the database need from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.keys.model import StoredKey
    from placet.permits.schedule import SigningKey


class KeyVault(Protocol):
    """Creates and decrypts keys. Nothing else sees a private key."""

    def create(self, signs_from: int) -> StoredKey:
        """Return a new key, encrypted."""
        ...

    def unlock(self, stored: StoredKey, signs_until: int) -> SigningKey:
        """Return the key, ready to sign permits of decisions until that second; 0 for no end.

        Raises ConfigurationError when the key-encryption key is missing, or when what is stored was changed.
        """
        ...
