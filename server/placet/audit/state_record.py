"""The part `state` of a record: the state changes that were made with it. It lets state be proven from the records.

::

    {"rows":     [[table, tenant, id, version, status, digest, digest before], ...],
     "counters": [[tenant, budget_id, unit, window_key, scope_key,
                   reserved by, used by, reserved, used, created_at_us, resets_at_us], ...]}

A row's digest is the SHA-256 of the JSON array ``[version,status,created_at_us,due_at_us]`` followed by its body. The
digest before is that of the replaced row, empty for a new row. A counter's entry holds by how much the change moved it,
and its values afterwards. So each change also proves what it found. Replay can therefore detect a change without a
record between two changes, in whatever order the chains of several replicas are read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from placet.kernel.state import CounterKey, RowKey, StateTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.state import Row

STATE: Final = "state"
"""Name of the part of every record that changed state."""
UNPROVEN: Final = frozenset({StateTable.WEBHOOK_OUTBOX, StateTable.TOKEN_USES})
"""Tables that change without a record, because they say nothing about who did what: webhook deliveries, and when an
access token was last used."""
PROVEN: Final = tuple(table for table in StateTable if table not in UNPROVEN)
"""Tables whose every change has a record."""


class RowChange(NamedTuple):
    """A row after a change."""

    key: RowKey
    version: int
    status: str
    digest: str
    before: str
    """Digest of the row that was replaced; empty for none."""


class CounterChange(NamedTuple):
    """A change of a counter: the two differences, then the values after it."""

    counter: CounterKey
    reserved_by: int
    used_by: int
    reserved: int
    used: int
    created_at_us: int
    resets_at_us: int


CounterEntry = tuple[str, str, str, str, str, int, int, int, int, int, int]
"""A `CounterChange` as the part holds it: the counter's key, then the numbers."""


class StateChanges(NamedTuple):
    """The state changes of one record."""

    total: int
    """How many changes the record made."""
    part: bytes
    """The part `state`; empty when there are no changes."""


NO_STATE_CHANGES: Final = StateChanges(0, b"")


def row_digest(row: Row) -> str:
    """Return the digest of a row, as the part holds it."""
    return stored_digest(row.version, row.status, row.created_at_us, row.due_at_us, row.body)


def stored_digest(version: int, status: str, created_at_us: int, due_at_us: int, body: bytes) -> str:
    """Return the digest of a row from its columns."""
    head = orjson.dumps((version, status, created_at_us, due_at_us))
    return hashlib.sha256(head + body).hexdigest()


def state_changes(puts: Sequence[tuple[Row, Row | None]], moves: Sequence[CounterEntry]) -> StateChanges:
    """Return the changes of one record: rows written, each with the row it replaced, and counters moved."""
    if not puts and not moves:
        return NO_STATE_CHANGES
    rows = [
        (
            *(row.key.table, row.key.tenant, row.key.id, row.version, row.status, row_digest(row)),
            row_digest(before) if before is not None else "",
        )
        for row, before in puts
        if row.key.table in PROVEN
    ]
    count = len(rows) + len(moves)
    if not count:
        return NO_STATE_CHANGES
    return StateChanges(count, orjson.dumps({"rows": rows, "counters": moves}))


def read_state(content: bytes) -> tuple[list[RowChange], list[CounterChange]]:
    """Return the changes that `state_changes` wrote. Raises ValueError when the bytes are not such a part."""
    try:
        part = orjson.loads(content)
        rows = [
            RowChange(RowKey(StateTable(table), tenant, row_id), version, status, digest, before)
            for table, tenant, row_id, version, status, digest, before in part["rows"]
        ]
        counters = [CounterChange(CounterKey(*entry[:5]), *entry[5:]) for entry in part["counters"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("not what Placet writes of state") from error
    texts = [text for row in rows for text in (row.key.tenant, row.key.id, row.status, row.digest, row.before)]
    texts += [text for change in counters for text in change.counter]
    numbers = [row.version for row in rows] + [number for change in counters for number in change[1:]]
    if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError("not what Placet writes of state: a member has the wrong type")
    return rows, counters
