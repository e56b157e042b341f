"""The Ed25519 key that signs checkpoints. It is created on first start, readable by its owner only."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIVATE_NAME: Final = "audit_ed25519.pem"
PUBLIC_NAME: Final = "audit_ed25519.pub.pem"
PUBLIC_PATTERN: Final = "audit_*.pub.pem"
"""The server's own public key, and those of other replicas beside it."""
KEY_ID_CHARS: Final = 16
"""Length of a key id."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""Permissions of group and others."""


class Verifier(Protocol):
    """Verifies signatures with one key or several."""

    def check(self, key_id: str, signature: bytes, signed: bytes) -> bool | None:
        """Return whether the key with that id made the signature over these bytes; None when the key is unknown."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Verifies signatures."""

    key_id: str
    """The beginning of the SHA-256 of the raw public key, in hex."""
    _key: Ed25519PublicKey

    def verify(self, signature: bytes, signed: bytes) -> bool:
        """Return whether this key made the signature over these bytes."""
        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    def check(self, key_id: str, signature: bytes, signed: bytes) -> bool | None:
        """As `Verifier.check`, for this key only."""
        return self.verify(signature, signed) if key_id == self.key_id else None

    def pem(self) -> bytes:
        """Return the key as PEM, for those who verify."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys that checkpoints may be signed with, by id. Each replica has one, or several share it."""

    by_id: Mapping[str, PublicKey]

    @classmethod
    def of(cls, *keys: PublicKey) -> Self:
        """Return a set of these keys."""
        return cls({key.key_id: key for key in keys})

    def with_key(self, key: PublicKey) -> PublicKeys:
        """Return these keys and one more."""
        return PublicKeys({**self.by_id, key.key_id: key})

    def check(self, key_id: str, signature: bytes, signed: bytes) -> bool | None:
        """As `Verifier.check`, for all of them."""
        key = self.by_id.get(key_id)
        return key.verify(signature, signed) if key is not None else None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs data. Never reveals the private key."""

    public: PublicKey
    _key: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        """The id of the public key."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def generate_signing_key() -> SigningKey:
    """Return a new key without storing it."""
    return _signing_key(Ed25519PrivateKey.generate())


def load_or_create_signing_key(folder: Path) -> SigningKey:
    """Return the key in the folder; create it, and its public key as a PEM file beside it, when there is none.

    Raises ConfigurationError when the key can be read by others, or is not an Ed25519 key.
    """
    path = folder / PRIVATE_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            create_private_key(path)
        signing_key = load_signing_key(path)
        public = path.with_name(PUBLIC_NAME)
        if not public.exists():
            _write_whole(public, signing_key.public.pem())
    except OSError as error:
        remedy = remedy_for(error, f"let Placet's user own {folder}")
        raise ConfigurationError(f"{path}: cannot be read or made ({error.strerror}); {remedy}") from error
    return signing_key


def load_public_key(path: Path) -> PublicKey:
    """Return the public key in a PEM file. Raises ConfigurationError when the file holds none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror}); it is the file {PUBLIC_NAME} of the server"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{path}: is no public key in PEM; it is the file {PUBLIC_NAME} of the server"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(f"{path}: is no Ed25519 key; it is the file {PUBLIC_NAME} of the server")
    return _public_key(key)


def load_public_keys(folder: Path) -> PublicKeys:
    """Return the public keys in the folder: the server's own, and those that operators put there.

    Raises ConfigurationError when a file holds none.
    """
    return PublicKeys.of(*(load_public_key(path) for path in sorted(folder.glob(PUBLIC_PATTERN))))


def create_private_key(path: Path) -> None:
    """Create a key file atomically. When two processes create it at once, the first one's file stays.

    Raises OSError.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")  # mkstemp uses mode 0600
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(private)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        sync_folder(path.parent)
    finally:
        Path(temporary).unlink()


def load_signing_key(path: Path) -> SigningKey:
    """Return the key in an existing file. Writes nothing. Raises what `load_private_key` raises."""
    return _signing_key(load_private_key(path))


def load_private_key(path: Path, *, group_reads: bool = False) -> Ed25519PrivateKey:
    """Return the key in a file, for use only inside a class that signs with it.

    `group_reads` lets the file's group read it, which the files of a mounted secret need. Raises ConfigurationError
    when it can be read by others or is not an Ed25519 key, and OSError when it cannot be read.
    """
    mode = path.stat().st_mode
    if mode & (_OTHERS & ~stat.S_IRGRP if group_reads else _OTHERS):
        raise ConfigurationError(
            f"{path}: others can read or write the signing key (mode {stat.S_IMODE(mode):04o}); "
            f"run `chmod 600 {path}`, and make a new key if it may have been read"
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: is no private key in PEM; restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path}: is no Ed25519 key; restore it from a backup")
    return key


def key_id_of(raw: bytes) -> str:
    """Return the id of a raw public key: the beginning of its SHA-256, in hex."""
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_CHARS]


def sync_folder(folder: Path) -> None:
    """Make created, renamed and removed files in the folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_whole(path: Path, content: bytes) -> None:
    """Write the file atomically. Raises OSError."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _signing_key(key: Ed25519PrivateKey) -> SigningKey:
    return SigningKey(_public_key(key.public_key()), key)


def _public_key(key: Ed25519PublicKey) -> PublicKey:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return PublicKey(key_id_of(raw), key)
