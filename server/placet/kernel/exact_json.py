"""JSON in which each decimal number keeps all its digits."""

from __future__ import annotations

from decimal import Decimal

import orjson


def exact_json(value: object) -> bytes:
    """Return JSON with sorted keys, in which each `Decimal` keeps all its digits."""
    return orjson.dumps(value, default=_decimal, option=orjson.OPT_SORT_KEYS)


def _decimal(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    raise TypeError(f"policy data cannot hold a {type(value).__name__}")
