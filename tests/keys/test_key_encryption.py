"""Key-encryption keys: their form, and what they encrypt."""

from __future__ import annotations

import base64

import pytest

from placet.kernel.errors import ConfigurationError
from placet.signing.key_encryption import encryption_key_id, parse_key_encryption
from tests.keys.key_env import kek


@pytest.mark.parametrize("text", [kek(), f"{kek()}\n", f"  {kek()}\r\n", f"{kek()} {kek(2)}"])
def test_it_decrypts_what_it_encrypted(text: str) -> None:
    encryption = parse_key_encryption(text, "source")
    encrypted = encryption.encrypt(b"private", b"bound")
    assert b"private" not in encrypted
    assert encryption.decrypt(encryption.key_id, encrypted, b"bound", "what") == b"private"
    assert encryption.key_id == encryption_key_id(bytes([1]) * 32)


def test_each_encryption_differs() -> None:
    encryption = parse_key_encryption(kek(), "source")
    assert encryption.encrypt(b"private", b"") != encryption.encrypt(b"private", b"")


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "%%%%",
        "käse",
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        f"{kek()} another",
        "00" * 32,
    ],
)
def test_a_text_that_is_no_key_is_refused_and_never_quoted(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the file: is not a key-encryption key; .*openssl rand") as refused:
        parse_key_encryption(text, "the file")
    assert not any(word in str(refused.value) for word in text.split())
    assert refused.value.__cause__ is None


def test_an_empty_text() -> None:
    with pytest.raises(ConfigurationError, match=r"^the file: is empty; "):
        parse_key_encryption(" \n", "the file")


def test_other_keys_and_other_data_do_not_decrypt() -> None:
    encryption = parse_key_encryption(kek(), "the file")
    encrypted = encryption.encrypt(b"private", b"bound")
    with pytest.raises(ConfigurationError, match=r"^the key k was changed after it was encrypted; "):
        encryption.decrypt(encryption.key_id, encrypted, b"other", "the key k")
    other = parse_key_encryption(kek(2), "the file")
    with pytest.raises(
        ConfigurationError, match=f"^the file: the key k .* {encryption.key_id}, which is none of {other.key_id}; add"
    ):
        other.decrypt(encryption.key_id, encrypted, b"bound", "the key k")


def test_no_key_is_shown() -> None:
    assert kek() not in repr(parse_key_encryption(kek(), "source"))
    assert "\\x01" not in repr(parse_key_encryption(kek(), "source"))
