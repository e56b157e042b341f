"""The Ed25519 key that signs checkpoints: made on first start, readable by its owner alone."""

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

from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIVATE_NAME: Final = "audit_ed25519.pem"
PUBLIC_NAME: Final = "audit_ed25519.pub.pem"
PUBLIC_PATTERN: Final = "audit_*.pub.pem"
"""The server's own public key, and those of other replicas beside it."""
KEY_ID_CHARS: Final = 16
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Verifier(Protocol):
    """One key or several."""

    def check(self, key_id: str, signature: bytes, signed: bytes) -> bool | None:
        """Whether the signature over these bytes was made with the key of that id; None when that one is not known."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Verifies signatures. `key_id` is the beginning of the SHA-256 of the raw public key, hex."""

    key_id: str
    _key: Ed25519PublicKey

    def verify(self, signature: bytes, signed: bytes) -> bool:
        """Whether the signature over these bytes was made with the key."""
        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    def check(self, key_id: str, signature: bytes, signed: bytes) -> bool | None:
        """As `Verifier.check`, for this key alone."""
        return self.verify(signature, signed) if key_id == self.key_id else None

    def pem(self) -> bytes:
        """The key as PEM, to be given to whoever verifies."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys that checkpoints may be signed with, by id: each replica has one, or several share it."""

    by_id: Mapping[str, PublicKey]

    @classmethod
    def of(cls, *keys: PublicKey) -> Self:
        """These keys."""
        return cls({key.key_id: key for key in keys})

    def with_key(self, key: PublicKey) -> PublicKeys:
        """These, and one more."""
        return PublicKeys({**self.by_id, key.key_id: key})

    def check(self, key_id: str, signature: bytes, signed: bytes) -> bool | None:
        """As `Verifier.check`, for all of them."""
        key = self.by_id.get(key_id)
        return key.verify(signature, signed) if key is not None else None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs. Never shows the private key."""

    public: PublicKey
    _key: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        """The id of the public key."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def generate_signing_key() -> SigningKey:
    """A new key, kept nowhere."""
    return _signing_key(Ed25519PrivateKey.generate())


def load_or_create_signing_key(folder: Path) -> SigningKey:
    """The key in the folder, made when there is none; the public key stands beside it as PEM.

    ConfigurationError when the key can be read by others, or is not an Ed25519 key.
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
    """The public key in a PEM file. ConfigurationError when it is none."""
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
    """The keys in the folder that checkpoints may be signed with: its own, and those that people put there.

    ConfigurationError when a file holds none.
    """
    return PublicKeys.of(*(load_public_key(path) for path in sorted(folder.glob(PUBLIC_PATTERN))))


def create_private_key(path: Path) -> None:
    """Make a key in the file, whole or not at all; when two processes do it at once, the first one's stays. OSError."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")  # made with mode 0600
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
    """The key in a file, which must be there. Writes nothing. Raises what `load_private_key` does."""
    return _signing_key(load_private_key(path))


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file, to be kept inside whatever signs with it.

    ConfigurationError when it can be read by others, or is not an Ed25519 key; OSError when it cannot be read.
    """
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise ConfigurationError(
            f"{path}: others can read or write the signing key (mode {stat.S_IMODE(mode):04o}); "
            f"run `chmod 600 {path}`, and make a new key if somebody may have read it"
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: is no private key in PEM; restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path}: is no Ed25519 key; restore it from a backup")
    return key


def key_id_of(raw: bytes) -> str:
    """The id of a raw public key: the beginning of its SHA-256, hex."""
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_CHARS]


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in the folder durable. OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_whole(path: Path, content: bytes) -> None:
    """Write the file, whole or not at all. OSError."""
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
