"""Reads JSON objects that two readers could not understand in two ways."""

from __future__ import annotations

import json
from typing import Any, NoReturn


class JsonError(Exception):
    """The text is not such an object."""


def read_object(text: bytes) -> dict[str, Any]:
    """Return the object. Raises JsonError for another value, a repeated name, NaN, and nesting that is too deep."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_distinct, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise JsonError(_one_line(error)) from error
    if not isinstance(value, dict):
        raise JsonError("is no JSON object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonError("names a member twice")
    return members


def _refuse(_constant: str) -> NoReturn:
    raise JsonError("has a number that JSON does not know")


def _one_line(error: Exception) -> str:
    return "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {type(error).__name__}"
