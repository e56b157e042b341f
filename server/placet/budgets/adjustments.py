"""The solo quota: how much of a counter may be corrected without a second person.

The quota is BUDGET_ADJUST_SOLO_PERCENT of the counter's limit, for all corrections in one window together.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import orjson
from msgspec import structs

from placet.kernel.limits import BUDGET_ADJUST_SOLO_PERCENT
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from placet.kernel.state import CounterKey

SOLO_QUOTA: Final = "alone"
"""The status of the rows."""
_PERCENT: Final = 100
_ID_CHARS: Final = 32


def solo_quota_key(counter: CounterKey) -> RowKey:
    """Return the key of the row that counts the corrections of a counter that had no second person."""
    parts = [counter.budget_id, counter.unit, counter.window_key, counter.scope_key]
    digest = hashlib.sha256(orjson.dumps(parts)).hexdigest()
    return RowKey(StateTable.CONTROL_REQUESTS, counter.tenant, f"adj_{digest[:_ID_CHARS]}")


def within_solo_quota(row: Row | None, amount: int, limit: int | None) -> bool:
    """Return whether one person may correct the counter by `amount`.

    `row` is the stored row, if any. `limit` None means that the counter's limit is unknown: then the answer is False.
    """
    return limit is not None and (_corrected(row) + abs(amount)) * _PERCENT <= limit * BUDGET_ADJUST_SOLO_PERCENT


def solo_quota_row(row: Row | None, counter: CounterKey, amount: int, now_us: int) -> Row:
    """Return the row to put with every correction. `amount` is 0 for a correction that two people made."""
    stored = row or Row(solo_quota_key(counter), SOLO_QUOTA, now_us, b"")
    return structs.replace(stored, body=orjson.dumps({"corrected": _corrected(row) + abs(amount)}))


def _corrected(row: Row | None) -> int:
    corrected: int = orjson.loads(row.body)["corrected"] if row is not None else 0
    return corrected
