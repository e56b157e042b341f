"""How much one person may correct a counter alone: a share of its limit, all corrections of a window together."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from placet.kernel.limits import BUDGET_ADJUST_ALONE_PERCENT
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from placet.kernel.state import CounterKey

SOLO_QUOTA: Final = "alone"
_PERCENT: Final = 100
_ID_CHARS: Final = 32


def solo_quota_key(counter: CounterKey) -> RowKey:
    """Where it is kept how much of the counter was corrected by one person alone."""
    named = [counter.budget_id, counter.unit, counter.window_key, counter.scope_key]
    digest = hashlib.sha256(orjson.dumps(named)).hexdigest()
    return RowKey(StateTable.CONTROL_REQUESTS, counter.tenant, f"adj_{digest[:_ID_CHARS]}")


def within_solo_quota(row: Row | None, amount: int, limit: int | None) -> bool:
    """Whether one person may correct by so much; `limit` None: nobody knows how much the counter may hold."""
    return limit is not None and (_corrected(row) + abs(amount)) * _PERCENT <= limit * BUDGET_ADJUST_ALONE_PERCENT


def solo_quota_row(row: Row | None, counter: CounterKey, amount: int, now_us: int) -> Row:
    """The row to put with every correction; `amount` is what one person corrects alone, 0 when two do."""
    before = row or Row(solo_quota_key(counter), SOLO_QUOTA, now_us, b"")
    return replace(before, body=orjson.dumps({"corrected": _corrected(row) + abs(amount)}))


def _corrected(row: Row | None) -> int:
    corrected: int = orjson.loads(row.body)["corrected"] if row is not None else 0
    return corrected
