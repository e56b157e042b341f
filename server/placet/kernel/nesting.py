"""Nesting depth of JSON values."""

from __future__ import annotations

from collections.abc import Mapping


def nests_at_most(value: object, levels: int) -> bool:
    """Return whether a JSON value has at most `levels` levels of arrays and objects."""
    if isinstance(value, Mapping):
        return levels > 0 and all(nests_at_most(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(nests_at_most(item, levels - 1) for item in value)
    return True
