"""Settings of the keys that sign permits."""

from __future__ import annotations

import shlex
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

_SOURCES: Final = (
    "permit_keys_dir",
    "permit_key_encryption_key",
    "permit_key_encryption_file",
    "permit_key_encryption_command",
)
"""Where the keys, or what encrypts them, come from. One of them at most is set."""


def _as_text(value: object) -> object:
    """Return a list of words, as a settings file may have it, as one text."""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return shlex.join(value)
    return value


class KeySettings(BaseSettings):
    """The part of `Settings` about permit keys."""

    permit_keys_dir: str = Field(
        default="",
        description="Directory of the keys that sign permits, such as a mounted secret, with PEM files named "
        "SECOND.pem by the Unix second from which each signs. Only read, and read again when it changes. Empty: "
        "keys/permits of data_dir, where placet creates them.",
        examples=["/etc/placet/permit-keys"],
    )
    permit_key_encryption_key: SecretStr = Field(
        default=SecretStr(""),
        description="Key-encryption key, the base64 of 32 random bytes. With it the permit keys are in the database, "
        "encrypted, and shared by all replicas and workers. Several, separated by spaces: the first one encrypts, each "
        "decrypts.",
        examples=["the output of: openssl rand -base64 32"],
    )
    permit_key_encryption_file: str = Field(
        default="",
        description="File with the value of permit_key_encryption_key, which only its owner and group may read. Read "
        "at the start.",
        examples=["/etc/placet/permit-key-encryption"],
    )
    permit_key_encryption_command: Annotated[str, BeforeValidator(_as_text)] = Field(
        default="",
        description="Command that prints the value of permit_key_encryption_key, such as one that asks a key management"
        " service. A list of words, or one text. Run once at the start, without a shell, for 15 seconds at most.",
        examples=["aws kms decrypt --ciphertext-blob fileb:///etc/placet/kek.enc --query Plaintext --output text"],
    )

    @field_validator("permit_key_encryption_command")
    @classmethod
    def _check_command(cls, value: str) -> str:
        if value and not shlex.split(value):  # ValueError for an open quote
            raise ValueError("has no words; write the command, or remove it")
        return value

    @field_validator(*_SOURCES[1:])
    @classmethod
    def _check_one_source(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        for name in _SOURCES[: _SOURCES.index(str(info.field_name))]:
            if _text_of(value) and _text_of(info.data.get(name, "")):
                raise ValueError(f"cannot be combined with {name}, which says where the keys come from; remove one")
        return value

    @property
    def has_shared_keys(self) -> bool:
        """Whether the permit keys are in the database."""
        return any(_text_of(getattr(self, name)) for name in _SOURCES[1:])


def _text_of(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
