"""Read a value at a JSON pointer (RFC 6901)."""

from __future__ import annotations

import re
from typing import Any, Final

MISSING: Final = object()
"""Nothing stands at the pointer. Not None, which is a JSON null."""
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def resolve(value: Any, pointer: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what stands at the pointer, MISSING when nothing does."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif isinstance(value, list):
            value = value[int(name)] if _INDEX.fullmatch(name) and int(name) < len(value) else MISSING
        else:
            return MISSING
    return value
