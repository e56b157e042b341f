"""Reads values at JSON pointers (RFC 6901)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import orjson

MISSING: Final = object()
"""There is no value at the pointer. Differs from None, which is a JSON null."""
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


@lru_cache(maxsize=8)
def parsed(params: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse canonical JSON, once for all pointers into it. The value is shared: do not change it."""
    return orjson.loads(params)


@lru_cache(maxsize=4_096)
def _names(pointer: str) -> tuple[str, ...]:
    """Return the names of the members on the way. Pointers come from tenants' files: they are few."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def resolve(value: Any, pointer: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value at the pointer, or MISSING."""
    for name in _names(pointer):
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif isinstance(value, list):
            value = value[int(name)] if _INDEX.fullmatch(name) and int(name) < len(value) else MISSING
        else:
            return MISSING
    return value
