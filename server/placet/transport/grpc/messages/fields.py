"""Checks of single wire fields. Each notes what is wrong and goes on, so that a caller sees it all at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import FieldViolation
from placet.kernel.limits import SAFE_INTEGER_MAX, TENANT_CHARS_MAX, TOOL_CHARS_MAX
from placet.matching.globs import glob_fault
from placet.matching.names import name_fault
from placet.privacy.id_secrets import secret_in_id

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")
_TOOL_GLOB: Final = re.compile(r"[A-Za-z0-9._:/*?-]*\Z")
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")
RESERVED_TOOLS: Final = "placet."
"""Tool names that begin so are Placet's own, e.g. the canary."""


class Fields:
    """Collects violations; `prefix` is put before each field's name, e.g. ``requests[3].``."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.violations: list[FieldViolation] = []

    def wrong(self, field: str, description: str) -> None:
        """Note a violation."""
        self.violations.append(FieldViolation(self._prefix + field, description))

    def text(self, field: str, value: str, bytes_max: int, *, required: bool = False) -> str:
        """A printable text of at most so many bytes of UTF-8."""
        if not value:
            if required:
                self.wrong(field, "is required")
            return value
        size = len(value) if value.isascii() else len(value.encode())
        if size > bytes_max:
            self.wrong(field, f"is {size} bytes; at most {bytes_max} are accepted")
        elif not value.isprintable():
            self.wrong(field, "holds control or invisible characters; use printable text")
        return value

    def identifier(self, field: str, value: str, bytes_max: int, *, required: bool = False) -> str:
        """A text that is compared and stored as it is, so that it may hold no secret."""
        wrong = len(self.violations)
        self.text(field, value, bytes_max, required=required)
        if len(self.violations) == wrong:
            self._no_secret(field, value)
        return value

    def _no_secret(self, field: str, value: str) -> None:
        if value and (kind := secret_in_id(value)):
            self.wrong(field, f"holds {kind}, and ids are stored as they are; send an id without it")

    def name(self, field: str, value: str, bytes_max: int, *, required: bool = False) -> str:
        """The name of somebody or something that is compared and counted by its name, as it was spelled."""
        wrong = len(self.violations)
        self.identifier(field, value, bytes_max, required=required)
        fault = name_fault(value) if len(self.violations) == wrong else ""
        if fault:
            self.wrong(field, fault)
        return value

    def names(self, field: str, values: Sequence[str], count_max: int, bytes_max: int) -> tuple[str, ...]:
        """So many names, none of them empty."""
        if len(values) > count_max:
            self.wrong(field, f"has {len(values)} entries; at most {count_max} are accepted")
            return ()
        return tuple(
            self.name(f"{field}[{index}]", value, bytes_max, required=True) for index, value in enumerate(values)
        )

    def identifiers(self, field: str, values: Sequence[str], count_max: int, bytes_max: int) -> tuple[str, ...]:
        """So many texts that may hold no secret, none of them empty."""
        if len(values) > count_max:
            self.wrong(field, f"has {len(values)} entries; at most {count_max} are accepted")
            return ()
        return tuple(
            self.identifier(f"{field}[{index}]", value, bytes_max, required=True) for index, value in enumerate(values)
        )

    def tool(self, field: str, value: str) -> str:
        """The name of a tool."""
        if not value:
            self.wrong(field, "is required")
        elif len(value) > TOOL_CHARS_MAX or not _TOOL.match(value):
            self.wrong(field, f"must be 1 to {TOOL_CHARS_MAX} characters of [A-Za-z0-9._:/-], a letter or digit first")
        elif value.startswith(RESERVED_TOOLS):
            self.wrong(field, f"names beginning with {RESERVED_TOOLS!r} are reserved")
        else:
            self._no_secret(field, value)
        return value

    def tool_glob(self, field: str, value: str) -> str:
        """The name of a tool, or a pattern of such names."""
        if not value:
            self.wrong(field, "is required")
        elif len(value) > TOOL_CHARS_MAX or not _TOOL_GLOB.match(value):
            allowed = f"1 to {TOOL_CHARS_MAX} characters of [A-Za-z0-9._:/-]"
            self.wrong(field, f"must be {allowed}, with * for any text and ? for one character")
        elif fault := glob_fault(value):
            self.wrong(field, fault)
        else:
            self._no_secret(field, value)
        return value

    def tenant(self, field: str, value: str) -> str:
        """The id of a tenant."""
        if not value:
            self.wrong(field, "is required")
        elif len(value) > TENANT_CHARS_MAX or not _TENANT.match(value):
            self.wrong(field, f"must be 1 to {TENANT_CHARS_MAX} characters of [a-z0-9_-], a letter or digit first")
        else:
            self._no_secret(field, value)
        return value

    def count(self, field: str, value: int, maximum: int = SAFE_INTEGER_MAX) -> int:
        """An integer from 0."""
        if not 0 <= value <= maximum:
            self.wrong(field, f"is {value}; must be 0 to {maximum}")
        return value

    def sha256(self, field: str, value: str) -> str:
        """A digest, or nothing."""
        if value and not _SHA256.match(value):
            self.wrong(field, "must be 64 lower-case hex digits")
        return value


def tenant_or_nothing(value: str) -> str:
    """The tenant when it is well-formed, else "": for the record of a refused request."""
    return value if len(value) <= TENANT_CHARS_MAX and _TENANT.match(value) and not secret_in_id(value) else ""
