"""Creates the keys that the database holds, and decrypts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from placet.kernel.errors import ConfigurationError
from placet.keys.model import PERMIT, StoredKey
from placet.signing.keys import key_id_of
from placet.signing.permit_signer import permit_signer

if TYPE_CHECKING:
    from placet.signing.key_encryption import KeyEncryption
    from placet.signing.permit_signer import SigningPermitKey


@dataclass(frozen=True, slots=True)
class PermitKeyVault:
    """Implements `placet.keys.ports.KeyVault` for Ed25519 keys."""

    encryption: KeyEncryption

    def create(self, signs_from: int) -> StoredKey:
        """Return a new key, encrypted."""
        key = Ed25519PrivateKey.generate()
        key_id = key_id_of(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        encrypted = self.encryption.encrypt(private, _bound(key_id, signs_from))
        return StoredKey(key_id, signs_from, self.encryption.key_id, encrypted)

    def unlock(self, stored: StoredKey, signs_until: int) -> SigningPermitKey:
        """Return the key, ready to sign. Raises ConfigurationError."""
        what = f"the permit key {stored.key_id} in the database"
        bound = _bound(stored.key_id, stored.signs_from)
        private = self.encryption.decrypt(stored.encrypted_by, stored.encrypted, bound, what)
        try:
            key = Ed25519PrivateKey.from_private_bytes(private)
        except ValueError as error:
            raise ConfigurationError(f"{what}: is no Ed25519 key; restore a backup") from error
        return permit_signer(key, stored.signs_from, signs_until)


def _bound(key_id: str, signs_from: int) -> bytes:
    """Return what an encrypted key is bound to, so that it cannot be stored as another one."""
    return orjson.dumps({"key_id": key_id, "signs_from": signs_from, "use": PERMIT}, option=orjson.OPT_SORT_KEYS)
