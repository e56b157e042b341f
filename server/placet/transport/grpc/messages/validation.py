"""Checks single fields of a request. A check that fails notes a violation and goes on, so that a caller sees all."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from placet.identity.model import TENANT_FORM, is_tenant
from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import SAFE_INTEGER_MAX, TENANT_CHARS_MAX, TOOL_CHARS_MAX
from placet.matching.globs import glob_error
from placet.matching.names import name_error
from placet.privacy.id_secrets import secret_in_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TOOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")
_TOOL_GLOB: Final = re.compile(r"[A-Za-z0-9._:/*?-]*\Z")
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
RESERVED_TOOLS: Final = "placet."
"""Prefix of the tool names that Placet uses itself, such as the one of the canary."""
_NOT_PRINTABLE: Final = "holds control or invisible characters; use printable text"
_NO_TOOL: Final = f"must be 1 to {TOOL_CHARS_MAX} characters of [A-Za-z0-9._:/-], a letter or digit first"
_NO_TENANT: Final = f"must be {TENANT_FORM}"
_CACHE: Final = 16_384
"""Cached results for names: those of a busy hour, 4 MB at most. A request holds eight names, which took 12 us together.
Ids of single requests, such as idempotency keys, are not cached. Sizes are checked first, so no large text is kept."""


class RequestValidator:
    """Collects the violations of a request. Every check returns the value that it was given.

    `prefix` precedes the name of each field, such as ``requests[3].``.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.violations: list[FieldViolation] = []

    def violation(self, field: str, description: str) -> None:
        """Note a violation. `description` says what is wrong and what is accepted."""
        self.violations.append(FieldViolation(self._prefix + field, description))

    def require_valid(self) -> None:
        """Raise InvalidRequestError with all violations, if there are any."""
        if self.violations:
            raise InvalidRequestError(self.violations)

    def text(self, field: str, value: str, bytes_max: int, *, required: bool = False) -> str:
        """Check a printable text of at most `bytes_max` bytes of UTF-8."""
        if not (value or required) or (value.isascii() and 0 < len(value) <= bytes_max and value.isprintable()):
            return value  # most texts
        if self._has_size(field, value, bytes_max, required=required) and not value.isprintable():
            self.violation(field, _NOT_PRINTABLE)
        return value

    def identifier(self, field: str, value: str, bytes_max: int, *, required: bool = False) -> str:
        """Check a text that is compared and stored as it is, so it must not contain a secret."""
        if not (value or required):
            return value
        if self._has_size(field, value, bytes_max, required=required) and (error := _identifier_error(value)):
            self.violation(field, error)
        return value

    def name(self, field: str, value: str, bytes_max: int, *, required: bool = False) -> str:
        """Check a name of a person or thing: an identifier without characters that make it look like another name."""
        if not (value or required):
            return value
        if self._has_size(field, value, bytes_max, required=required) and (error := _name_error(value)):
            self.violation(field, error)
        return value

    def names(self, field: str, values: Sequence[str], count_max: int, bytes_max: int) -> tuple[str, ...]:
        """Check a list of at most `count_max` names, none of them empty."""
        return self._each(field, values, count_max, bytes_max, _name_error)

    def identifiers(self, field: str, values: Sequence[str], count_max: int, bytes_max: int) -> tuple[str, ...]:
        """Check a list of at most `count_max` identifiers, none of them empty."""
        return self._each(field, values, count_max, bytes_max, _known_identifier_error)

    def _each(
        self, field: str, values: Sequence[str], count_max: int, bytes_max: int, error_of: Callable[[str], str]
    ) -> tuple[str, ...]:
        if len(values) > count_max:
            self.violation(field, f"has {len(values)} entries; at most {count_max} are accepted")
            return ()
        for index, value in enumerate(values):
            place = f"{field}[{index}]"
            if self._has_size(place, value, bytes_max, required=True) and (error := error_of(value)):
                self.violation(place, error)
        return tuple(values)

    def _has_size(self, field: str, value: str, bytes_max: int, *, required: bool) -> bool:
        """Check the size of a text. True when it has one that is allowed, so that its characters are checked next."""
        if not value:
            if required:
                self.violation(field, "is required")
            return False
        size = len(value) if value.isascii() else len(value.encode())
        if size > bytes_max:
            self.violation(field, f"is {size} bytes; at most {bytes_max} are accepted")
        return size <= bytes_max

    def tool(self, field: str, value: str) -> str:
        """Check the name of a tool."""
        if not value:
            self.violation(field, "is required")
        elif error := _tool_error(value) if len(value) <= TOOL_CHARS_MAX else _NO_TOOL:
            self.violation(field, error)
        return value

    def tool_glob(self, field: str, value: str) -> str:
        """Check the name of a tool, or a pattern of such names."""
        if not value:
            self.violation(field, "is required")
        elif len(value) > TOOL_CHARS_MAX or not _TOOL_GLOB.match(value):
            allowed = f"1 to {TOOL_CHARS_MAX} characters of [A-Za-z0-9._:/-]"
            self.violation(field, f"must be {allowed}, with * for any text and ? for one character")
        elif error := glob_error(value) or _secret_error(value):
            self.violation(field, error)
        return value

    def tenant(self, field: str, value: str) -> str:
        """Check the id of a tenant."""
        if not value:
            self.violation(field, "is required")
        elif error := _tenant_error(value) if len(value) <= TENANT_CHARS_MAX else _NO_TENANT:
            self.violation(field, error)
        return value

    def optional_tenant(self, field: str, value: str) -> str:
        """Check the id of a tenant, which may be empty."""
        return self.tenant(field, value) if value else ""

    def count(self, field: str, value: int, maximum: int = SAFE_INTEGER_MAX) -> int:
        """Check an integer from 0 to `maximum`."""
        if not 0 <= value <= maximum:
            self.violation(field, f"is {value}; must be 0 to {maximum}")
        return value

    def sha256(self, field: str, value: str) -> str:
        """Check a SHA-256 digest, which may be empty."""
        if value and not is_sha256(value):
            self.violation(field, "must be 64 lower-case hex digits")
        return value


def is_sha256(value: str) -> bool:
    """Return whether the text is a SHA-256 digest in lower-case hex."""
    return bool(_SHA256.match(value))


def tenant_or_nothing(value: str) -> str:
    """Return the tenant if it is well-formed, else "". For the record of an invalid request."""
    return value if is_tenant(value) and not secret_in_id(value) else ""


def _secret_error(value: str) -> str:
    kind = secret_in_id(value)
    return f"holds {kind}, and ids are stored as they are; send an id without it" if kind else ""


def _identifier_error(value: str) -> str:
    """Return what is wrong with the characters of an identifier; empty when nothing is."""
    return _secret_error(value) if value.isprintable() else _NOT_PRINTABLE


_known_identifier_error: Final = lru_cache(maxsize=_CACHE)(_identifier_error)


@lru_cache(maxsize=_CACHE)
def _name_error(value: str) -> str:
    return _identifier_error(value) or name_error(value)


@lru_cache(maxsize=_CACHE)
def _tool_error(value: str) -> str:
    if not _TOOL.match(value):
        return _NO_TOOL
    if value.startswith(RESERVED_TOOLS):
        return f"begins with {RESERVED_TOOLS!r}, which is reserved; use another name"
    return _secret_error(value)


@lru_cache(maxsize=_CACHE)
def _tenant_error(value: str) -> str:
    return _secret_error(value) if is_tenant(value) else _NO_TENANT
