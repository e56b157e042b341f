"""Encrypts private keys before they are stored, with AES-256-GCM under a key-encryption key.

Several key-encryption keys may be given: the first one encrypts, and each decrypts, so that it can be changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from placet.kernel.errors import ConfigurationError
from placet.keys.model import REPLACE_ALL

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""Random for each encryption: that of 96 bits is safe for the few keys that are ever created."""
_ID_CHARS: Final = 16
_FORM: Final = "the base64 of 32 random bytes, such as `openssl rand -base64 32` prints"


class KeyEncryption:
    """Encrypts and decrypts. Never reveals its keys. `source` names the setting that they come from."""

    def __init__(self, keys: Mapping[str, bytes], source: str) -> None:
        """`keys` maps ids to keys. The first one encrypts."""
        self._keys = keys
        self._source = source

    def __repr__(self) -> str:
        return f"KeyEncryption({', '.join(self._keys)})"

    @property
    def key_id(self) -> str:
        """The id of the key that encrypts."""
        return next(iter(self._keys))

    def encrypt(self, content: bytes, bound: bytes) -> bytes:
        """Return the content encrypted. It decrypts only together with `bound`, which is not encrypted."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._keys[self.key_id]).encrypt(nonce, content, bound)

    def decrypt(self, key_id: str, encrypted: bytes, bound: bytes, what: str) -> bytes:
        """Return the content. `what` names it. Raises ConfigurationError when that fails."""
        key = self._keys.get(key_id)
        if key is None:
            raise ConfigurationError(
                f"{self._source}: {what} is encrypted with the key-encryption key {key_id}, which is none of "
                f"{', '.join(self._keys)}; add that key after the new one, or {REPLACE_ALL}"
            )
        try:
            return AESGCM(key).decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise ConfigurationError(
                f"{what} was changed after it was encrypted; run `placet audit verify --state`, then restore a backup, "
                f"or {REPLACE_ALL}"
            ) from error


def parse_key_encryption(text: str, source: str) -> KeyEncryption:
    """Return the key-encryption keys of a text, which are separated by spaces or line breaks.

    Raises ConfigurationError, which never quotes the text.
    """
    keys = [_parse(word, source) for word in text.split()]
    if not keys:
        raise ConfigurationError(f"{source}: is empty; it must be {_FORM}")
    return KeyEncryption({encryption_key_id(key): key for key in keys}, source)


def encryption_key_id(key: bytes) -> str:
    """Return the id of a key-encryption key. It says nothing about a random key."""
    return hashlib.sha256(b"placet key-encryption key\0" + key).hexdigest()[:_ID_CHARS]


def _parse(word: str, source: str) -> bytes:
    try:
        key = base64.b64decode(word.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{source}: is not a key-encryption key; it must be {_FORM}")
    return key
