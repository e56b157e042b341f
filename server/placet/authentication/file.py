"""Reads the authentication file."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from placet.authentication.document import AuthenticationDocument
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

BYTES_MAX: Final = 1_000_000
_TEXTS: Final = {"extra_forbidden": "is not a key of this file; remove it", "missing": "is required"}
"""Type of a pydantic error -> the text to use instead of pydantic's."""


def read_authentication_file(path: Path) -> AuthenticationDocument:
    """Return the content of the file. ConfigurationError names the file, the key and the remedy of each problem."""
    try:
        with path.open("rb") as file:
            text = file.read(BYTES_MAX + 1)
        if len(text) > BYTES_MAX:
            raise ConfigurationError(f"auth_file: {path} is longer than {BYTES_MAX} bytes; is it the right file?")
        return AuthenticationDocument.model_validate(tomllib.loads(text.decode()))
    except OSError as error:
        raise ConfigurationError(f"auth_file: cannot read {path}: {error.strerror}; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"auth_file: {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(_problems(path, error.errors(include_url=False, include_input=False))) from error


def _problems(path: Path, errors: Sequence[ErrorDetails]) -> str:
    found = "; ".join(f"{_key(error)}{_text(error)}" for error in errors if not _follows(error, errors))
    return f"auth_file: {path}: {found}"


def _follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Return whether a list is too short only because its items are wrong, which other errors say."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        len(each["loc"]) > len(loc) and each["loc"][: len(loc)] == loc for each in errors
    )


def _key(error: ErrorDetails) -> str:
    """Return the key with a colon; nothing for an error of the whole file, whose text names the key."""
    key = ""
    for part in error["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return f"{key}: " if key else ""


def _text(error: ErrorDetails) -> str:
    return _TEXTS.get(error["type"], error["msg"].removeprefix("Value error, "))
