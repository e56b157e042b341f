"""Builds the `input` that policy sees: the caller's document, Placet's facts, and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.model import ToolClass

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLASSES: Final = {tool_class: tool_class.value for tool_class in ToolClass}
"""Class -> its id. An enum computes `value` by two calls in Python."""


def policy_input(document: bytes, facts: Mapping[str, Any], now: str) -> bytes:
    """Return the caller's JSON `document` with the keys `facts` and `now` (as `rfc3339` writes it) added."""
    facts_json = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return b'{"facts":%b,"now":"%b",%b' % (facts_json, now.encode(), document[1:])


def base_facts(tool_class: ToolClass, autonomy: str = "execute") -> dict[str, Any]:
    """Return the facts that every input has, with no budget counted."""
    return {"autonomy": autonomy, "budgets": {}, "tool": {"class": _CLASSES[tool_class]}}
