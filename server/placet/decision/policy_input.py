"""The `input` that policy sees: the caller's document, Placet's facts, and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.kernel.model import ToolClass


def policy_input(said: bytes, facts: Mapping[str, Any], now: str) -> bytes:
    """What policy sees: the caller's `document` with `facts` and `now` (see `rfc3339`) beside its keys."""
    known = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return b'{"facts":%b,"now":"%b",%b' % (known, now.encode(), said[1:])


def base_facts(tool_class: ToolClass, autonomy: str = "execute") -> dict[str, Any]:
    """The facts that there always are, where nothing is counted."""
    return {"autonomy": autonomy, "budgets": {}, "tool": {"class": tool_class.value}}
