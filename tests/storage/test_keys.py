from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from placet.kernel.errors import ConfigurationError
from placet.signing import keys
from placet.signing.keys import (
    PRIVATE_NAME,
    PUBLIC_NAME,
    generate_signing_key,
    load_or_create_signing_key,
    load_public_key,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys"


def test_made_once_for_the_owner_alone(folder: Path) -> None:
    key = load_or_create_signing_key(folder)
    assert load_or_create_signing_key(folder).key_id == key.key_id
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / PRIVATE_NAME).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [PRIVATE_NAME, PUBLIC_NAME]


def test_the_public_key_alone_verifies(folder: Path) -> None:
    key = load_or_create_signing_key(folder)
    public = load_public_key(folder / PUBLIC_NAME)
    assert public.key_id == key.key_id
    assert len(key.key_id) == 16
    assert public.pem() == (folder / PUBLIC_NAME).read_bytes()
    signature = key.sign(b"said")
    assert public.verify(signature, b"said")
    assert not public.verify(signature, b"not said")
    assert not public.verify(b"", b"said")
    assert not generate_signing_key().public.verify(signature, b"said")


def test_the_private_key_is_not_shown(folder: Path) -> None:
    key = load_or_create_signing_key(folder)
    assert repr(key) == f"SigningKey({key.key_id})"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_can_read(folder: Path, mode: int) -> None:
    load_or_create_signing_key(folder)
    (folder / PRIVATE_NAME).chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_or_create_signing_key(folder)


def test_two_that_start_at_once_have_one_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_or_create_signing_key(folder)
    keys.create_private_key(folder / PRIVATE_NAME)  # the other saw no key before
    assert load_or_create_signing_key(folder).key_id == first.key_id
    assert sorted(path.name for path in folder.iterdir()) == [PRIVATE_NAME, PUBLIC_NAME]

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (folder / PRIVATE_NAME).unlink()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        load_or_create_signing_key(folder)
    assert [path.name for path in folder.iterdir()] == [PUBLIC_NAME], "nothing half made is left"


def other_key() -> tuple[bytes, bytes]:
    key = generate_ec_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_files_that_are_no_keys(folder: Path) -> None:
    load_or_create_signing_key(folder)
    private, public = other_key()
    for content in (b"", b"no key", private):
        (folder / PRIVATE_NAME).write_bytes(content)
        with pytest.raises(ConfigurationError, match="restore it from a backup"):
            load_or_create_signing_key(folder)
    for content in (b"", b"no key", public):
        (folder / PUBLIC_NAME).write_bytes(content)
        with pytest.raises(ConfigurationError, match=PUBLIC_NAME):
            load_public_key(folder / PUBLIC_NAME)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_public_key(folder / "nothing.pem")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigurationError, match="let Placet's user own"):
        load_or_create_signing_key(tmp_path / "data" / "keys")
